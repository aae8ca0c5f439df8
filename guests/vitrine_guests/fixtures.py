"""Fixtures: benign modules and programs that show one symptom of an attack each, and undo it.

A module is built from the `linux-headers` of the very kernel it is for, fetched as kernels are. Headers of another
Debian release come with tools and flags of its own compiler and C library: their tools run by that release's own
loader and libraries, and a wrapper leaves out flags that this machine's gcc does not know.
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from . import kernels
from .cache import cache_dir, locked, scratch
from .errors import GuestError
from .labels import find_label

SOURCES = Path(__file__).resolve().parent.parent / "fixtures"
PROGRAM_FLAGS = ("-static", "-O1", "-Wall", "-Wextra", "-std=gnu17", "-pthread")
# What the tools of newer releases are linked with, by the package that has it.
LIBRARIES = ("libc6", "libelf1t64", "zlib1g", "libzstd1")
LABELS = ("6.1", "6.12", "7.x")


def module(label: str) -> Path:
    """The fixture module for the kernel of `label`: built when its source or the kernel changed."""
    kernel = kernels.fetch(label)
    sources = sorted((SOURCES / "kernel").iterdir())
    digest = hashlib.sha256(f"{kernel.release} {kernel.version}".encode())
    for path in [*sources, Path(__file__)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target = cache_dir() / "fixtures" / f"{kernel.release}-{digest.hexdigest()[:16]}.ko"
    if target.exists():
        return target
    with locked(f"fixture-{kernel.release}"), scratch("fixture") as folder:
        if not target.exists():
            headers = _headers(label, kernel)
            for path in sources:
                shutil.copy(path, folder / path.name)
            _make(headers, kernel.release, folder)
            target.parent.mkdir(exist_ok=True)
            os.rename(folder / "vitrine_fixture.ko", target)
    return target


def program() -> Path:
    """The program of the fixtures that need no module, static."""
    sources = sorted((SOURCES / "programs").glob("*.c"))
    digest = hashlib.sha256(repr(PROGRAM_FLAGS).encode())
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target = cache_dir() / "programs" / f"fixture-{digest.hexdigest()[:16]}"
    if target.exists():
        return target
    with locked("program-fixture"), scratch("compile") as folder:
        out = folder / "fixture"
        _run(["gcc", *PROGRAM_FLAGS, "-o", str(out), *map(str, sources)])
        target.parent.mkdir(exist_ok=True)
        os.rename(out, target)
    return target


def _headers(label: str, kernel: kernels.Kernel) -> Path:
    """The unpacked headers, whose build folder is usr/src/linux-headers-RELEASE."""
    root = cache_dir() / "headers" / f"{kernel.release}_{kernel.version}"
    with locked(f"headers-{kernel.release}"):
        if not root.is_dir():
            suite = kernels._Suite(find_label(label))
            suite._apt("apt-get", "update", "-q")
            names = [f"linux-headers-{kernel.release}"]
            depends = suite._show(names[0])["Depends"]
            names += re.findall(r"linux-(?:headers|kbuild)-[^\s,(]+", depends)
            with scratch("headers") as folder:
                tree = folder / "tree"
                suite._unpack_into(list(dict.fromkeys(names)), tree)
                _adapt(tree, label)
                root.parent.mkdir(exist_ok=True)
                os.rename(tree, root)
    return root


def _adapt(tree: Path, label: str) -> None:
    """Makes the headers' links lead within the tree, and their tools run on this machine."""
    for path in tree.rglob("*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            inside = tree / os.readlink(path)[1:]
            path.unlink()
            path.symlink_to(os.path.relpath(inside, path.parent))
    # Makefiles that include the common headers' by their installed path.
    for path in tree.glob("usr/src/linux-headers-*/Makefile"):
        text = path.read_text()
        fixed = re.sub(r"(?<=[ =])/usr/src/", f"{_final(label)}/usr/src/", text)
        path.unlink()
        path.write_text(fixed)
    tools = [path for path in tree.rglob("*") if _is_program(path)]
    if any(_runs_not(path) for path in tools):
        libraries = _libraries(label, tree)
        for path in tools:
            real = path.with_name(path.name + ".elf")
            path.rename(real)
            path.write_text(
                "#!/bin/sh\n"
                'here=$(dirname "$(readlink -f "$0")")\n'
                f'root="$here/{os.path.relpath(libraries, path.parent)}"\n'
                f'exec "$root/ld-linux-x86-64.so.2" --library-path "$root" --argv0 "$here/{path.name}" "$here/{real.name}" "$@"\n'
            )
            path.chmod(0o755)


def _final(label: str) -> Path:
    kernel = kernels.fetch(label)
    return cache_dir() / "headers" / f"{kernel.release}_{kernel.version}"


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not path.stat().st_mode & stat.S_IXUSR:
        return False
    with open(path, "rb") as handle:
        start = handle.read(20)
    return start[:4] == b"\x7fELF" and start[16] in (2, 3)


def _runs_not(path: Path) -> bool:
    done = subprocess.run(["ldd", str(path)], capture_output=True, text=True)
    return "not found" in done.stdout + done.stderr


def _libraries(label: str, tree: Path) -> Path:
    suite = kernels._Suite(find_label(label))
    folder = tree / "vitrine-libraries"
    folder.mkdir()
    # The release itself, of which backports are a part, has the libraries.
    base = find_label(label).suites[0][1].removesuffix("-backports")
    suite._add_suite("debian", base)
    suite._apt("apt-get", "update", "-q")
    with scratch("libraries") as temporary:
        suite._unpack_into(list(LIBRARIES), temporary / "tree")
        for path in (temporary / "tree").rglob("*.so*"):
            if path.is_file():
                shutil.copy(path, folder / path.name)  # what a link leads to, under the link's name
    return folder


def _make(headers: Path, release: str, folder: Path) -> None:
    build = headers / "usr/src" / f"linux-headers-{release}"
    compiler = folder / "cc"
    compiler.write_text(_WRAPPER)
    compiler.chmod(0o755)
    done = subprocess.run(
        ["make", "-s", "-C", str(build), f"M={folder}", f"CC={compiler}", "HOSTCC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=",
         "KBUILD_MODPOST_WARN=1", "modules"],
        capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )  # fmt: skip
    if done.returncode != 0 or not (folder / "vitrine_fixture.ko").exists():
        raise GuestError(f"the fixture for {release} does not build:\n{(done.stdout + done.stderr)[-4000:]}")


# gcc without the flags that it does not know; each is asked of gcc once.
_WRAPPER = """#!/usr/bin/env python3
import os, re, subprocess, sys
words = sys.argv[1:]
for _ in range(12):
    done = subprocess.run(["gcc", *words], capture_output=True, text=True)
    unknown = set(re.findall(r"(?:unrecognized|unknown) (?:command-line )?option ['\\u2018](-[^'\\u2019]+)['\\u2019]", done.stderr))
    unknown |= {w for m in re.findall(r"unrecognized argument in option ['\\u2018]([^'\\u2019]+)['\\u2019]", done.stderr) for w in [m]}
    if done.returncode == 0 or not unknown:
        break
    words = [word for word in words if word not in unknown]
sys.stdout.write(done.stdout)
sys.stderr.write(done.stderr)
sys.exit(done.returncode)
"""


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr.strip():
        raise GuestError(f"{' '.join(command[:3])} was not clean:\n{done.stderr[-4000:]}")
