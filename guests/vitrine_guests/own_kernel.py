"""A kernel of one's own: a bzImage, and its modules where there are some."""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from .errors import GuestError
from .kernels import Kernel

# Documentation/arch/x86/boot.rst: "HdrS" at 0x202, the offset (from 0x200) of the kernel's version at 0x20e.
MAGIC_AT, MAGIC, VERSION_AT, VERSION_FROM, LONGEST_VERSION = 0x202, b"HdrS", 0x20E, 0x200, 256


def is_path(label: str) -> bool:
    return "/" in label


@dataclass(frozen=True)
class OwnKernel(Kernel):
    """`root` is the image itself; the release is read from it, as a boot loader would."""

    module_folder: Path | None = None

    @property
    def image(self) -> Path:
        return self.root

    @property
    def modules(self) -> Path | None:
        return self.module_folder


def open_own(label: str) -> OwnKernel:
    """The kernel of the label IMAGE or IMAGE:MODULES, MODULES a lib/modules/RELEASE. Raises GuestError."""
    image, _, folder = label.partition(":")
    path = Path(image).resolve()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GuestError(f"{image}: {error.strerror}") from error
    if content[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
        raise GuestError(f"{image} is no bzImage")
    (offset,) = struct.unpack_from("<H", content, VERSION_AT)
    at = VERSION_FROM + offset
    words = content[at : at + LONGEST_VERSION].split(b"\0")[0].decode("latin-1").split()
    if not words:
        raise GuestError(f"{image} does not say its release")
    modules = Path(folder).resolve() if folder else None
    if modules and not (modules / "kernel").is_dir():
        raise GuestError(f"{folder} has no folder kernel: give a lib/modules/RELEASE")
    return OwnKernel(label, words[0], hashlib.sha256(content + folder.encode()).hexdigest()[:12], (), path, modules)
