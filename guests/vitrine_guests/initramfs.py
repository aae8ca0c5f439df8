"""The initramfs of a guest: busybox, our programs, modules; a cpio archive in the cache."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from . import programs
from .cache import cache_dir, forget_old, locked, scratch
from .errors import GuestError
from .kernels import Kernel
from .modules import BOOT, ON_REQUEST, ModuleTree

FOLDERS = "actors bin dev etc mnt proc root run sys tmp".split()


def build(kernel: Kernel) -> Path:
    """The initramfs for `kernel`; built when its ingredients changed since the last time."""
    actors, truth, busybox = programs.actors(), programs.truth(), programs.busybox()
    digest = hashlib.sha256()
    for part in (kernel.release, kernel.version, actors.digest, truth.digest, repr((BOOT, ON_REQUEST))):
        digest.update(part.encode() + b"\0")
    digest.update(busybox.read_bytes())
    digest.update(Path(__file__).read_bytes())
    target = cache_dir() / "initramfs" / f"{kernel.release}-{digest.hexdigest()[:16]}.cpio"
    if target.exists():
        os.utime(target)
        return target
    forget_old(target.parent, "*.cpio")
    forget_old(cache_dir(), ".*")  # what a run that was killed left
    with locked(f"initramfs-{kernel.release}"), scratch("initramfs") as folder:
        if not target.exists():
            root = folder / "root"
            _fill(root, kernel, actors, truth, busybox)
            _pack(root, folder / "archive")
            target.parent.mkdir(exist_ok=True)
            os.rename(folder / "archive", target)
    return target


def with_programs(archive: Path, paths: tuple[str, ...]) -> Path:
    """`archive` and programs of this host with the libraries they want, each where it lies here."""
    wanted: dict[str, Path] = {}
    for path in paths:
        if not os.path.exists(path):
            raise GuestError(f"{path} is not installed here")
        wanted[path] = Path(path).resolve()
        said = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for word in said.split():
            if word.startswith("/"):
                wanted[word] = Path(word).resolve()
    digest = hashlib.sha256(archive.name.encode())
    for name in sorted(wanted):
        digest.update(f"{name}\0{wanted[name].stat().st_mtime_ns}\0".encode())
    digest.update(Path(__file__).read_bytes())
    target = archive.with_name(f"{archive.stem}-with-{digest.hexdigest()[:16]}.cpio")
    if target.exists():
        os.utime(target)
        return target
    with locked(target.stem), scratch("initramfs") as folder:
        for name, path in wanted.items():
            into = folder / "root" / name.lstrip("/")
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)
        _pack(folder / "root", folder / "more")
        with open(folder / "archive", "wb") as whole:  # the kernel unpacks one after the other
            for part in (archive, folder / "more"):
                whole.write(part.read_bytes())
        os.rename(folder / "archive", target)
    return target


def _fill(
    root: Path, kernel: Kernel, actors: programs.Program, truth: programs.Program, busybox: Path
) -> None:
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(actors.path, root / "init")
    for name, _, _ in programs.actor_table(actors):
        os.link(root / "init", root / "actors" / name)
    shutil.copy(truth.path, root / "bin/truth")
    shutil.copy(busybox, root / "bin/busybox")
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        if not (root / "bin" / name).exists():
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nvisitor:x:1000:1000::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nvisitor:x:1000:\n")

    tree = ModuleTree(kernel)
    folder = f"lib/modules/{kernel.release}"
    (root / folder).mkdir(parents=True)
    boot = tree.closure(BOOT)
    for module in (everything := tree.closure([*BOOT, *ON_REQUEST])):
        path = root / folder / module.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module.content)
    files = {module.name: module.file for module in everything}
    (root / "etc/modules").write_text("".join(f"/{folder}/{module.file}\n" for module in boot))
    (root / folder / "modules.dep").write_text(
        "".join(
            f"{m.file}: {' '.join(files[d.replace('-', '_')] for d in _all_depends(tree, m.name))}\n"
            for m in everything
        )
    )


def _all_depends(tree: ModuleTree, name: str) -> list[str]:
    return [module.name for module in reversed(tree.closure([name])[:-1])]


def _pack(root: Path, archive: Path) -> None:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    done = subprocess.run(
        ["cpio", "--quiet", "--null", "--create", "--format=newc", "--reproducible",
         "--owner=+0:+0", f"--file={archive}"],
        cwd=root, input="\0".join(names).encode(), capture_output=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise GuestError(f"cpio failed: {done.stderr.decode()}")
