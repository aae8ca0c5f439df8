"""The view `syscall_table` against /proc/kallsyms and the ABI's own numbers."""

import re
from pathlib import Path

from truth_interrupts import addresses_of
from truth_values import differ, doubts, number

SYMBOLS = {"64": "sys_call_table", "ia32": "ia32_sys_call_table", "x32": "x32_sys_call_table"}
PADDING = 32 // 8 + 64 // 8  # a table's alignment, and the next object's, in entries
HEADERS = {"64": "asm/unistd_64.h", "ia32": "asm/unistd_32.h"}
# Where a call and the function behind it do not have one name (arch/x86/entry/syscalls/*.tbl).
RENAMED = {
    "64": {
        "stat": "newstat", "fstat": "newfstat", "lstat": "newlstat", "uname": "newuname", "newfstatat": "newfstatat",
        "umount2": "umount", "sendfile": "sendfile64", "prctl": "prctl", "fadvise64": "fadvise64",
    },
    "ia32": {},
}  # fmt: skip


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact for what the host's own headers name."""
    differences = doubts(rows)
    addresses = addresses_of(truth)
    # What a kernel was built without is a weak stub (COND_SYSCALL).
    stubs = {line for line in truth.get("kallsyms", "").splitlines() if " W " in line}
    tables = [abi for abi in ("64", "ia32", "x32") if any(row["abi"] == abi for row in rows)]
    if "64" not in tables:
        return [*differences, "no table of 64-bit calls"]
    for abi in tables:
        entries = [row for row in rows if row["abi"] == abi]
        if [row["number"] for row in entries] != list(range(len(entries))):
            differences.append(f"{abi}: the numbers are not 0 to {len(entries) - 1}")
        room = room_of(SYMBOLS[abi], addresses)
        if room is not None and not room - PADDING < len(entries) <= room:
            differences.append(f"{abi}: {len(entries)} calls where there is room for {room}")
    for row in rows:
        where = f"{row['abi']} {row['number']}"
        differ(differences, where, "expected", True, row["expected"])
        differ(differences, where, "module", None, row["module"])
        if addresses and number(row["handler"]) not in addresses.get(row["symbol"], ()):
            differences.append(f"{where}: {row['handler']} is not {row['symbol']}")
        if row["abi"] == "64" and row["name"] is not None:
            if row["symbol"] not in (f"__x64_sys_{row['name']}", f"__x64_compat_sys_{row['name']}"):
                differences.append(f"{where}: {row['symbol']} is not {row['name']}")
        if addresses:
            stub = f"{number(row['handler']):016x} W {row['symbol']}" in stubs
            differ(differences, where, "implemented", row["name"] is not None and not stub, row["implemented"])
    by_number = {row["number"]: row for row in rows if row["abi"] == "64"}
    for call, value in numbers_of("64").items():
        row = by_number.get(value)
        if row is None or row["name"] is None:
            continue  # younger than this kernel, or removed
        differ(differences, f"64 {value}", "name", RENAMED["64"].get(call, call), row["name"])
    return differences


def room_of(symbol, addresses):
    """How many entries there are from a table's symbol to the next symbol."""
    if symbol not in addresses:
        return None
    start = min(addresses[symbol])
    return (min(address for each in addresses.values() for address in each if address > start) - start) // 8


def numbers_of(abi):
    for folder in ("/usr/include/x86_64-linux-gnu", "/usr/include"):
        header = Path(folder, HEADERS[abi])
        if header.exists():
            return {name: int(value) for name, value in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    return {}
