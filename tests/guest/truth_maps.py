"""The view `maps` against /proc/PID/maps, line by line."""

from truth_processes import text


def compare(truth, rows):
    """Returns the differences, a sentence each; see truth_processes.compare().

    Exact, but for the printer, whose buffers grow while it prints.
    """
    differences = []
    by_pid = {}
    # Whether programs have that page, which lies in the kernel's half, is told by a variable.
    unsaid = "[vsyscall]" if "the page [vsyscall] is not known" in truth.get("said", {}).get("maps", "") else None
    for row in rows:
        by_pid.setdefault(row["pid"], []).append(row)
        if row.get("doubt"):
            differences.append(f"{row['pid']}: a doubtful row on a paused guest: {row['doubt']}")
    order = [(row["pid"], int(row["start"], 16)) for row in rows]
    if order != sorted(set(order)):
        differences.append("rows are not ordered by pid and start, each once")
    for pid, process in truth["processes"].items():
        if int(pid) == truth["printer"] or text(process.get("maps")) is None:
            continue
        told = [line for line in process["maps"].splitlines() if unsaid is None or not line.endswith(unsaid)]
        seen = [line_of(row) for row in by_pid.get(int(pid), [])]
        for number, (expected, have) in enumerate(zip(told, seen)):
            if expected != have:
                differences.append(f"{pid} line {number}: the guest says {expected!r}, we say {have!r}")
        if len(told) != len(seen):
            differences.append(f"{pid}: the guest has {len(told)} areas, we have {len(seen)}")
    for row in rows:
        differences += contradictions(row)
    unknown = {pid for pid in by_pid if str(pid) not in truth["processes"]}
    if unknown:
        differences.append(f"areas of processes that the guest did not name: {sorted(unknown)}")
    return differences


def line_of(row):
    """The row as /proc prints it (seq_put_hex_ll, seq_pad in fs/proc/task_mmu.c)."""
    major, minor = map(int, row["device"].split(":"))
    line = (
        f"{int(row['start'], 16):08x}-{int(row['end'], 16):08x} {row['permissions']} "
        f"{int(row['offset'], 16):08x} {major:02x}:{minor:02x} {row['inode']} "
    )
    path = row["path"].replace("\n", "\\012")
    return line.ljust(73) + path if path else line


def contradictions(row):
    """What follows from other columns."""
    if row["size"] != int(row["end"], 16) - int(row["start"], 16):
        yield f"{row['pid']} {row['start']}: size {row['size']} is not end - start"
    if row["anonymous"] != (row["inode"] == 0 and row["device"] == "0:0"):
        yield f"{row['pid']} {row['start']}: anonymous is {row['anonymous']}, but it has {row['device']} {row['inode']}"
    if row["rwx"] != ("w" in row["permissions"] and "x" in row["permissions"]):
        yield f"{row['pid']} {row['start']}: rwx is {row['rwx']} with {row['permissions']}"
    if row["deleted"] and not row["path"].endswith(" (deleted)"):
        yield f"{row['pid']} {row['start']}: deleted, but called {row['path']}"
    letters = "".join(letter if int(row["flags"], 16) >> bit & 1 else "-" for bit, letter in enumerate("rwx"))
    if row["permissions"][:3] != letters:
        yield f"{row['pid']} {row['start']}: flags {row['flags']} with {row['permissions']}"
