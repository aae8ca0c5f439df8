"""Images of a paused guest: as QEMU writes them, and the same RAM in other wrappings. Runs of zeros take no room on disk."""

import ctypes
import struct
import tempfile
from pathlib import Path

from write_kdump import write_kdump

# dump-guest-memory's own compressed formats that Debian's QEMU has; "raw" is not flattened.
COMPRESSED = ("kdump-zlib", "kdump-raw-zlib")
KINDS = ("raw", "lime", "avml", "elf", "elf-paging", *COMPRESSED, "kdump-mixed")
PIECE = 1 << 20
FRAME = 64 << 10  # of snappy
LOW_END = 2 << 30  # up to here RAM is in one piece from 0 on, in every machine that tests start


def segments(elf, wanted=1):
    """(physical, offset in the file, size) of each piece of RAM in QEMU's ELF core, or of its notes (4)."""
    with open(elf, "rb") as source:
        header = source.read(64)
        start, count = struct.unpack_from("<Q", header, 32)[0], struct.unpack_from("<H", header, 56)[0]
        for number in range(count):
            source.seek(start + number * 56)
            kind, _, offset, _, physical, size, _, _ = struct.unpack("<IIQQQQQQ", source.read(56))
            if kind == wanted and size:
                yield physical, offset, size


def copy(source, offset, size, out):
    """Appends a part of `source` where `out` stands; what is zero is passed over."""
    source.seek(offset)
    while size:
        piece = source.read(min(size, PIECE))
        if not piece:
            raise EOFError(f"{source.name} ends {size} bytes early")
        out.write(piece) if piece.strip(b"\0") else out.seek(len(piece), 1)
        size -= len(piece)


def write_lime(elf, lime):
    """The RAM of QEMU's ELF core as a LiME image."""
    with open(elf, "rb") as source, open(lime, "wb") as out:
        for physical, offset, size in segments(elf):
            out.write(struct.pack("<IIQQQ", 0x4C694D45, 1, physical, physical + size - 1, 0))
            copy(source, offset, size, out)
        out.truncate(out.tell())


def write_avml(elf, avml):
    """The RAM of QEMU's ELF core as `avml --compress` writes it: snappy frames, plain where that is shorter."""
    snappy = ctypes.CDLL("libsnappy.so.1")
    packed = ctypes.create_string_buffer(2 * FRAME)
    with open(elf, "rb") as source, open(avml, "wb") as out:
        for physical, offset, size in segments(elf):
            out.write(b"AVML" + struct.pack("<IQQQ", 2, physical, physical + size - 1, 0))
            source.seek(offset)
            begin = out.tell()
            out.write(b"\xff\x06\0\0sNaPpY")
            for place in range(0, size, FRAME):
                piece = source.read(min(FRAME, size - place))
                length = ctypes.c_size_t(len(packed))
                if snappy.snappy_compress(piece, ctypes.c_size_t(len(piece)), packed, ctypes.byref(length)) != 0:
                    raise ValueError("snappy_compress")
                kind, body = (0, packed.raw[: length.value]) if length.value < len(piece) else (1, piece)
                out.write(struct.pack("<I", kind | (len(body) + 4) << 8) + bytes(4) + body)  # no one checks the sums
            out.write(struct.pack("<Q", out.tell() - begin))


def write_mixed(elf, dump):
    """The RAM and the registers of QEMU's ELF core as a kdump-compressed dump with every compression."""
    with open(elf, "rb") as source, open(dump, "wb") as out:
        (_, offset, size), *_ = segments(elf, wanted=4)
        source.seek(offset)
        write_kdump(source, segments(elf), source.read(size), out)


def write_raw(guest, raw, elf=None):
    """Physical memory from 0 on, holes as zeros: as QEMU's monitor saves it, or where a hole would have it ask every
    device of the PCI hole, from an ELF core (made beside it, or `elf`)."""
    if guest.options.memory << 20 <= LOW_END:
        guest.qmp("pmemsave", val=0, size=guest.options.memory << 20, filename=str(raw))
        return
    with tempfile.TemporaryDirectory(dir=Path(raw).parent) as folder:
        if elf is None:
            elf = Path(folder) / "memory.elf"
            guest.dump(elf)
        with open(elf, "rb") as source, open(raw, "wb") as out:
            end = 0
            for physical, offset, size in segments(elf):
                out.seek(physical)
                copy(source, offset, size, out)
                end = max(end, physical + size)
            out.truncate(end)


def images_of(guest, kinds):
    """Yields (kind, path) one after the other; the file is gone when the next is asked for."""
    with tempfile.TemporaryDirectory(prefix="vitrine-image-", dir="/var/tmp") as folder:
        core = Path(folder) / "memory.elf"
        if set(kinds) & {"raw", "lime", "avml", "elf", "kdump-mixed"}:
            guest.dump(core)
        for kind in kinds:
            path = Path(folder) / f"memory.{kind}"
            if kind == "raw":
                write_raw(guest, path, core)
            elif kind == "lime":
                write_lime(core, path)
            elif kind == "avml":
                write_avml(core, path)
            elif kind == "elf-paging":
                guest.dump(path, paging=True)
            elif kind == "kdump-mixed":
                write_mixed(core, path)
            elif kind in COMPRESSED:
                guest.dump(path, form=kind)
            yield kind, path
            if path != core:
                path.unlink(missing_ok=True)
