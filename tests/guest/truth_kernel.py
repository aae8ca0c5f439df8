"""The view `kernel` against /proc."""

import re

from truth_values import NOT_KNOWN, differ, doubts, epoch, nanoseconds, number, text

TAINTS = "PFSRMBUDAWCIOELKXTNJ"
SECOND = 1_000_000_000


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact, but:

    uptime  may lag behind the guest's own by two seconds (idle CPUs do not tick), and is later
            than the truth's begin by as much as the guest ran on until it was paused.
    memory_free  moves while the guest is asked, as the printer holds its answer in the memory that
            it counts (2 MiB of truth, 10 MiB of kallsyms, buffers for both): within 48 MiB.
    """
    differences = doubts(rows)
    if len(rows) != 1:
        return [*differences, f"{len(rows)} rows"]
    row = rows[0]
    files = truth["files"]

    def same(column, expected, seen=None):
        differ(differences, "kernel", column, expected, row[column] if seen is None else seen)

    same("release", text(files["/proc/sys/kernel/osrelease"]))
    same("version", text(files["/proc/sys/kernel/version"]))
    same("hostname", text(files["/proc/sys/kernel/hostname"]))
    same("domainname", text(files["/proc/sys/kernel/domainname"]))
    same("banner", text(files["/proc/version"]))
    same("machine", "x86_64")
    same("command_line", text(files["/proc/cmdline"]))
    mask = int(files["/proc/sys/kernel/tainted"])
    same("tainted", mask, number(row["tainted"]))
    same("taints", "".join(letter for bit, letter in enumerate(TAINTS) if mask >> bit & 1))
    same("build_id", build_id(bytes.fromhex(truth["notes"])))
    online = cpus(files["/sys/devices/system/cpu/online"])
    same("cpus_online", len(online))
    if row["cpus_possible"] is not NOT_KNOWN and row["cpus_possible"] < len(online):
        differences.append(f"kernel: {row['cpus_possible']} possible CPUs, {len(online)} online")
    meminfo = dict(line.split(":") for line in files["/proc/meminfo"].splitlines())
    same("memory", int(meminfo["MemTotal"].split()[0]) * 1024)
    free = int(meminfo["MemFree"].split()[0]) * 1024
    if row["memory_free"] is not NOT_KNOWN and abs(row["memory_free"] - free) > 48 << 20:
        differences.append(f"kernel: memory_free is {row['memory_free']}, the guest says {free}")
    same("clocksource", text(files["/sys/devices/system/clocksource/clocksource0/current_clocksource"]))
    btime = int(re.search(r"^btime (\d+)$", files["/proc/stat"], re.M)[1])
    if row["boot_time"] is not NOT_KNOWN:
        same("boot_time", btime, epoch(row["boot_time"]) // SECOND)
    uptime = nanoseconds(row["uptime"])
    if uptime is not NOT_KNOWN and not truth["begin"]["boottime"] - 2 * SECOND <= uptime <= truth["end"]["boottime"] + 60 * SECOND:
        differences.append(f"kernel: uptime is {uptime}, the guest was asked at {truth['begin']['boottime']}")
    # They start at INITIAL_JIFFIES, five minutes before 32 bits overflow, and count 1/HZ.
    ticks = [] if row["jiffies"] is NOT_KNOWN else [(row["jiffies"] - (1 << 32) + 300 * hz) / hz for hz in (100, 250, 300, 1000)]
    if ticks and not any(abs(seconds - uptime / SECOND) < 5 for seconds in ticks):
        differences.append(f"kernel: jiffies is {row['jiffies']} after {uptime / SECOND} s")
    same("slide", number(row["text"]) - 0xFFFFFFFF81000000, number(row["slide"]))
    code = re.search(r"^\s*([0-9a-f]+)-[0-9a-f]+ : Kernel code", files["/proc/iomem"], re.M)
    if code is not None and int(code[1], 16) != 0:
        same("text_physical", int(code[1], 16), number(row["text_physical"]))
    flags = re.search(r"^flags\s*:(.*)$", files["/proc/cpuinfo"], re.M)[1].split()
    same("paging_levels", 5 if "la57" in flags else 4)
    same("kpti", "pti" in flags)
    return differences


def build_id(notes):
    """The descriptor of the note of type 3 (NT_GNU_BUILD_ID) that GNU owns."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = (int.from_bytes(notes[at + 4 * i : at + 4 * i + 4], "little") for i in range(3))
        start = at + 12 + (name_size + 3) // 4 * 4
        if kind == 3 and notes[at + 12 : at + 12 + name_size] == b"GNU\0":
            return notes[start : start + size].hex()
        at = start + (size + 3) // 4 * 4
    return None


def cpus(words):
    """The CPUs of a list like "0-3,8"."""
    found = []
    for word in words.strip().split(","):
        first, _, last = word.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
