"""Kernel modules for the initramfs, with what they depend on.

A Debian package has no modules.dep (that is made when it is installed), so the dependencies are read
from each module's own `.modinfo`, and the initramfs gets a modules.dep of its own for modprobe.
"""

import lzma
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .errors import GuestError
from .kernels import Kernel

# Loaded at boot, where the kernel has them as modules at all.
BOOT = (
    "virtio_pci virtio_console virtio_net virtio_blk e1000 overlay dummy veth bridge 8021q "
    "unix_diag inet_diag tcp_diag udp_diag raw_diag af_packet_diag netlink_diag "
    "vsock af_alg af_key"
).split()
# Shipped for tests that load and unload while they look.
ON_REQUEST = "loop tun vxlan zram squashfs crc7 crc8 ts_kmp nbd binfmt_misc ext4 nf_tables kvm qemu_fw_cfg".split()


@dataclass(frozen=True)
class Module:
    name: str  # with underscores, as the kernel lists it
    file: str  # path inside lib/modules/RELEASE, uncompressed
    content: bytes
    depends: tuple[str, ...]


class ModuleTree:
    """The modules of one kernel, found by name."""

    def __init__(self, kernel: Kernel):
        self.root = kernel.modules

    @cached_property
    def _files(self) -> dict[str, Path]:
        if self.root is None:
            return {}
        return {
            path.name.split(".ko")[0].replace("-", "_"): path
            for path in self.root.joinpath("kernel").rglob("*.ko*")
        }

    def closure(self, names: list[str]) -> list[Module]:
        """The modules and all they need, each after its dependencies. Unknown names are left out: the
        kernel has them built in, or not at all."""
        ordered: dict[str, Module] = {}

        def visit(name: str) -> None:
            name = name.replace("-", "_")
            if name in ordered or name not in self._files:
                return
            module = self._read(name)
            for needed in module.depends:
                visit(needed)
            ordered[name] = module

        for name in names:
            visit(name)
        return list(ordered.values())

    def _read(self, name: str) -> Module:
        path = self._files[name]
        content = _decompress(path)
        match = re.search(rb"\0depends=([^\0]*)\0", content)
        depends = tuple(filter(None, match[1].decode().split(","))) if match else ()
        relative = str(path.relative_to(self.root))
        return Module(name, relative[: relative.index(".ko") + 3], content, depends)


def _decompress(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        done = subprocess.run(["zstd", "-dcq", path], capture_output=True)
        if done.returncode != 0:
            raise GuestError(f"zstd could not unpack {path}: {done.stderr.decode()}")
        return done.stdout
    return path.read_bytes()
