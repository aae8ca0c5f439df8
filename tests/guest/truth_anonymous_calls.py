"""The view `anonymous_calls` against the guest's own maps and system calls: nobody here asks from such memory."""

from truth_processes import text


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact: /proc/PID/syscall tells where a thread that waits asked from."""
    differences = []
    for row in rows:
        process = truth["processes"].get(str(row["pid"]), {})
        differences.append(f"{row['pid']}: told of {row['address']}; the guest says {text(process.get('syscall'))!r}")
    told = {str(row["pid"]) for row in rows}
    for pid, process in truth["processes"].items():
        words = (text(process.get("syscall")) or "").split()
        if pid not in told and len(words) == 9 and int(words[0]) >= 0 and asks_from_nowhere(text(process.get("maps")) or "", int(words[8], 16)):
            differences.append(f"{pid}: the guest says {' '.join(words)}, we say nothing")
    return differences


def asks_from_nowhere(maps, address):
    for line in maps.splitlines():
        span, rights, _, _, inode, *path = line.split(None, 5)
        start, end = (int(number, 16) for number in span.split("-"))
        if start < address <= end:
            return "x" in rights and inode == "0" and not path
    return False
