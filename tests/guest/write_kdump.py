"""A kdump-compressed dump such as makedumpfile writes with dump level 1: pages of zeros left out, each other page by the next
of the compressions there are, each compressed by its own library."""

import ctypes
import struct
import zlib
from itertools import cycle

PAGE = 4096
ZLIB, LZO, SNAPPY, ZSTD, PLAIN = 1, 2, 4, 0x20, 0


class Compressors:
    def __init__(self):
        self.lzo, self.snappy, self.zstd = (ctypes.CDLL(f"lib{name}") for name in ("lzo2.so.2", "snappy.so.1", "zstd.so.1"))
        self.work = ctypes.create_string_buffer(1 << 20)
        self.packed = ctypes.create_string_buffer(1 << 20)
        self.zstd.ZSTD_compress.restype = ctypes.c_size_t

    def by_lzo(self, page):
        length = ctypes.c_size_t(0)
        self.lzo.lzo1x_1_compress(page, ctypes.c_size_t(len(page)), self.packed, ctypes.byref(length), self.work)
        return self.packed.raw[: length.value]

    def by_snappy(self, page):
        length = ctypes.c_size_t(len(self.packed))
        self.snappy.snappy_compress(page, ctypes.c_size_t(len(page)), self.packed, ctypes.byref(length))
        return self.packed.raw[: length.value]

    def by_zstd(self, page):
        room = ctypes.c_size_t(len(self.packed))
        length = self.zstd.ZSTD_compress(self.packed, room, page, ctypes.c_size_t(len(page)), 1)
        return self.packed.raw[:length]

    def all(self):
        return {ZLIB: lambda page: zlib.compress(page, 1), LZO: self.by_lzo, SNAPPY: self.by_snappy, ZSTD: self.by_zstd, PLAIN: bytes}


def write_kdump(source, segments, notes, out):
    """`segments` (physical, offset, size) and `notes` of the ELF core `source`; whole pages only."""
    pages = {}
    for physical, offset, size in segments:
        for place in range(0, size // PAGE * PAGE, PAGE):
            pages[(physical + place) // PAGE] = offset + place
    count = max(pages) + 1
    half = (count + 8 * PAGE - 1) // (8 * PAGE) * PAGE
    exists, dumped = bytearray(half), bytearray(half)
    descriptors, data = [], bytearray()
    compressors = Compressors().all()
    turn = cycle(compressors.items())
    held = []
    for number, offset in sorted(pages.items()):
        exists[number // 8] |= 1 << number % 8
        source.seek(offset)
        page = source.read(PAGE)
        if page.count(0) == PAGE:
            continue
        dumped[number // 8] |= 1 << number % 8
        kind, compress = next(turn)
        packed = compress(page)
        if len(packed) >= PAGE:
            kind, packed = PLAIN, page
        held.append((len(data), len(packed), kind))
        data += packed
    sub_blocks = 1 + (len(notes) + PAGE - 1) // PAGE
    at = (1 + sub_blocks) * PAGE + 2 * half
    data_at = at + 24 * len(held)
    descriptors = b"".join(struct.pack("<QIIQ", data_at + place, size, kind, 0) for place, size, kind in held)
    header = b"KDUMP   " + struct.pack("<I", 6) + bytes(390 + 22)
    header += struct.pack("<10I", 0, PAGE, sub_blocks, 2 * half // PAGE, count, 0, 0, len(held), 0, 1)
    sub = struct.pack("<QIIQQQQQQQQQQQ", 0, 1, 0, 0, 0, 0, 0, 2 * PAGE, len(notes), 0, 0, 0, 0, count)
    out.write(header.ljust(PAGE, b"\0") + sub.ljust(PAGE, b"\0") + notes.ljust((sub_blocks - 1) * PAGE, b"\0"))
    out.write(exists + dumped + descriptors + data)
