"""The image of a forensic virtual machine: the distribution's cloud kernel, and an initramfs that holds
`vitrine-fvm`, its pack and the few modules it needs. The same input gives the same bytes, and the
measurement beside it (measure.txt) is what vitrined checks before it starts one."""

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

from . import kernels
from .cache import scratch
from .modules import ModuleTree

MODULES = ("virtio_pci", "virtio_console")


def kernel(refresh: bool = False) -> kernels.Kernel:
    """The newest cloud kernel, from the cache when it is there."""
    return kernels.fetch("6.1-cloud", refresh)


def build(out: Path, sensor: Path, rules: list[Path]) -> dict[str, str]:
    """Writes vmlinuz, initrd.img and measure.txt into `out`. Returns the measurements."""
    cloud = kernel()
    out.mkdir(parents=True, exist_ok=True)
    with scratch("fvm") as folder:
        program = folder / "vitrine-fvm"
        shutil.copy(sensor, program)
        subprocess.run(["strip", "--strip-all", str(program)], check=True)
        archive = _Archive()
        for name in ("dev", "proc", "sys", "pack", "modules"):
            archive.folder(name)
        archive.file("init", program.read_bytes(), 0o555)
        for place, module in enumerate(ModuleTree(cloud).closure(list(MODULES))):
            archive.file(f"modules/{place:02}-{module.name}.ko", module.content, 0o444)
        for path in sorted((f for rule in rules for f in rule.iterdir() if f.is_file()), key=lambda f: f.name):
            archive.file(f"pack/{path.name}", path.read_bytes(), 0o444)
        files = {"vmlinuz": cloud.image.read_bytes(), "initrd.img": archive.finish()}
    lines = [f"release {cloud.release}"]
    for name, content in files.items():
        (folder_file := out / f".{name}.new").write_bytes(content)
        os.rename(folder_file, out / name)
        lines.append(f"sha256 {hashlib.sha256(content).hexdigest()} {name}")
    (out / ".measure.new").write_text("\n".join(lines) + "\n")
    os.rename(out / ".measure.new", out / "measure.txt")
    return {line.split()[2]: line.split()[1] for line in lines[1:]}


class _Archive:
    """A newc cpio archive with nothing in it that changes from one build to the next."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._inode = 0

    def folder(self, name: str) -> None:
        self._entry(name, b"", stat.S_IFDIR | 0o555)

    def file(self, name: str, content: bytes, mode: int) -> None:
        self._entry(name, content, stat.S_IFREG | mode)

    def finish(self) -> bytes:
        self._entry("TRAILER!!!", b"", 0)
        return bytes(self._bytes)

    def _entry(self, name: str, content: bytes, mode: int) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._bytes += b"\0" * (-len(self._bytes) % 4)
        self._bytes += content
        self._bytes += b"\0" * (-len(self._bytes) % 4)
