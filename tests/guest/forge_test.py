#!/usr/bin/env python3
"""Forges a real guest's memory, and looks: nothing may crash, hang, or be wrong in silence.

    forge_test.py --vitrine build/bin/vitrine [--kernel 6.1] [--rounds 12] [--seed 1]

The guest is paused. Each round plays an expert: it overwrites words of the guest's RAM that
look like kernel pointers (with others, with themselves, with nothing, with nonsense), or bytes
of the kernel's image (kallsyms, BTF, tables), then runs every view on it, and puts everything
back. A view may end with words and a status; it may not end by a signal, nor take long.
"""

import argparse
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from look_test import Vitrine  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

LIMIT = 20  # seconds for one view, forged at will


class Ram:
    """The guest's RAM in the QEMU process, written to as no part of Vitrine can."""

    def __init__(self, pid, size):
        self.memory = open(f"/proc/{pid}/mem", "r+b", 0)
        self.undo = []
        for line in open(f"/proc/{pid}/maps"):
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found and int(found[2], 16) - int(found[1], 16) == size:
                self.start, self.size = int(found[1], 16), size
                return
        raise SystemExit("the guest's RAM was not found in its process")

    def read(self, at, size):
        self.memory.seek(self.start + at)
        return self.memory.read(size)

    def write(self, at, data):
        self.undo.append((at, self.read(at, len(data))))
        self.memory.seek(self.start + at)
        self.memory.write(data)

    def restore(self):
        for at, data in reversed(self.undo):
            self.memory.seek(self.start + at)
            self.memory.write(data)
        self.undo.clear()


def forge_pointers(ram, chance, count):
    """Kernel pointers anywhere, led astray."""
    seen = []
    for _ in range(400):
        page = chance.randrange(ram.size >> 12) << 12
        words = struct.unpack("<512Q", ram.read(page, 4096))
        seen += [(page + 8 * i, word) for i, word in enumerate(words) if word >> 47 == 0x1FFFF]
    for at, word in chance.sample(seen, min(count, len(seen))):
        other = chance.choice(seen)[1]
        new = chance.choice([other, other, word ^ 8, word + 64, 0, chance.getrandbits(64), word & ~0xFFF, 0xFFFF888000000000])
        ram.write(at, struct.pack("<Q", new & (1 << 64) - 1))


def forge_image(ram, chance, text, count):
    """Bytes of the kernel's own image: code, kallsyms, BTF, its variables."""
    for _ in range(count):
        at = text + chance.randrange(48 << 20)
        if at + 8 < ram.size:
            ram.write(at, chance.choice([bytes([chance.getrandbits(8)]), b"\xff" * 8, b"\0" * 8]))


def forge_page_tables(ram, chance, count):
    """Entries that look like page tables', made to lead to tables."""
    for _ in range(count):
        page = chance.randrange(ram.size >> 12) << 12
        words = struct.unpack("<512Q", ram.read(page, 4096))
        entries = [i for i, word in enumerate(words) if word & 0x67 in (0x63, 0x67) and word & 0xFFFFFFFFF000 < ram.size]
        for i in chance.sample(entries, min(8, len(entries))):
            ram.write(page + 8 * i, struct.pack("<Q", page | 0x67))


def look_at(vitrine, guest, cold):
    """Runs every view. Returns what was wrong, and the statuses seen."""
    wrong, statuses = [], {}
    for view in vitrine.views():
        begin = time.monotonic()
        words = [vitrine.program, "show", view, guest, "--json", *(["--no-cache"] if cold else [])]
        try:
            done = subprocess.run(words, capture_output=True, env=vitrine.environment, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            wrong.append(f"{view}: not done after {LIMIT} s")
            continue
        statuses[done.returncode] = statuses.get(done.returncode, 0) + 1
        if done.returncode < 0 or done.returncode not in (0, 1, 3):
            wrong.append(f"{view}: status {done.returncode}: {done.stderr[-300:].decode(errors='replace')}")
        elif done.returncode == 1 and not done.stderr.strip():
            wrong.append(f"{view}: failed without a word")
        if time.monotonic() - begin > LIMIT / 2:
            print(f"    {view} took {time.monotonic() - begin:.1f} s")
    return wrong, statuses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--rounds", default=12, type=int)
    parser.add_argument("--seed", default=1, type=int)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as cache, Guest(options.kernel, memory=256, backend="memfd") as guest:
        vitrine = Vitrine(options.vitrine, cache)
        ram = Ram(guest.pid, 256 << 20)
        guest.pause()
        text = int(vitrine.rows("kernel", guest.name)[0][0]["text_physical"], 16)
        before, _ = vitrine.rows("processes", guest.name)
        for number in range(options.rounds):
            chance = random.Random(options.seed * 1000 + number)
            what = ("pointers", "image", "page tables")[number % 3]
            count = 4 ** (2 + number % 5)
            if what == "pointers":
                forge_pointers(ram, chance, count * 4)
            elif what == "image":
                forge_image(ram, chance, text, count)
            else:
                forge_page_tables(ram, chance, count)
            wrong, statuses = look_at(vitrine, guest.name, cold=number % 2 == 0)
            print(f"  round {number}: {len(ram.undo)} places forged ({what}): statuses {statuses}, {len(wrong)} wrong", flush=True)
            found += [f"round {number}: {text_}" for text_ in wrong]
            ram.restore()
        after, _ = vitrine.rows("processes", guest.name)
        if after != before:
            found.append("restored, the guest does not look as before")
        guest.resume()
        if guest.run("echo alive")[1].strip() != b"alive":
            found.append("the guest did not live on")
    print("\n".join(found) or "forged at will: no crash, no hang, no silence")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
