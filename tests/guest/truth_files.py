"""The view `files` against /proc/PID/fd and /proc/PID/fdinfo."""

import os
import re
import stat as modes
from collections import Counter

from truth_processes import text

TYPES = {
    modes.S_IFIFO: "pipe", modes.S_IFCHR: "character", modes.S_IFDIR: "directory", modes.S_IFBLK: "block",
    modes.S_IFREG: "regular", modes.S_IFLNK: "symlink", modes.S_IFSOCK: "socket",
}  # fmt: skip
ACCESS = {0: "r", 1: "w", 2: "rw", 3: "r"}


def compare(truth, rows):
    """Returns the differences, a sentence each; see truth_processes.compare().

    A name may end in " (deleted)" by itself; a file is deleted if it has no links left, too.
    Exact, but for the printer's own descriptors, which come and go while it prints, and
    for files of /proc, whose inodes die with the printer's look. stat(2) of /proc/PID/fd/N
    tells what fdinfo does not; where it failed (O_PATH on what is gone) that part is not
    compared.
    """
    printer = truth["printer"]
    differences = [
        f"{key} is listed {count} times"
        for key, count in Counter((r["pid"], r["fd"]) for r in rows).items()
        if count > 1
    ]
    order = [(row["pid"], row["fd"]) for row in rows]
    if order != sorted(order):
        differences.append("rows are not ordered by pid and fd")
    told = {
        (int(pid), int(fd)): (process, file)
        for pid, process in truth["processes"].items()
        for fd, file in process.get("fd", {}).items()
        if int(pid) != printer and text(file.get("link"))
    }
    by_key = {(row["pid"], row["fd"]): row for row in rows if row["pid"] != printer}
    for key in sorted(set(told) - set(by_key)):
        differences.append(f"pid and fd {key}: the guest has it ({told[key][1]['link']}), we have not")
    for key in sorted(set(by_key) - set(told)):
        if str(key[0]) in truth["processes"]:
            differences.append(f"pid and fd {key}: we have it ({by_key[key]['path']}), the guest has not")
    for key in sorted(set(told) & set(by_key)):
        process, file = told[key]
        for column, expected in expected_of(process, file).items():
            if by_key[key][column] != expected:
                differences.append(f"{key} {column}: the guest says {expected!r}, we say {by_key[key][column]!r}")
        if by_key[key].get("doubt"):
            differences.append(f"{key}: a doubtful row on a paused guest: {by_key[key]['doubt']}")
    return differences


def expected_of(process, file):
    path = file["link"]
    expected = {
        "name": process["comm"].removesuffix("\n")[:15],
        "path": path,
        "deleted": path.endswith(" (deleted)"),
    }
    info = dict(re.findall(r"^(\w+):\s*(\S+)", text(file.get("info")) or "", re.M))
    if info:
        flags = int(info["flags"], 8)
        expected |= {
            "position": int(info["pos"]),
            "flags": info["flags"],
            "mount_id": int(info["mnt_id"]),
            "close_on_exec": bool(flags & os.O_CLOEXEC),
            "access": "path" if flags & os.O_PATH else ACCESS[flags & 3],
        }
        if "ino" in info:
            expected["inode"] = int(info["ino"])
    status = file.get("stat")
    if isinstance(status, dict) and "mode" in status:
        kind = TYPES.get(modes.S_IFMT(status["mode"]), "unknown")
        expected["deleted"] = path.endswith(" (deleted)") and status["nlink"] == 0
        expected["inode"] = status["ino"]
        expected["device"] = f"{os.major(status['dev'])}:{os.minor(status['dev'])}"
        expected["rdev"] = f"{os.major(status['rdev'])}:{os.minor(status['rdev'])}" if kind in ("character", "block") else None
        expected["size"] = status["size"] if kind in ("regular", "directory", "symlink") else None
        if path.startswith("anon_inode:"):
            kind = "anon:" + path.removeprefix("anon_inode:").removeprefix("[").removesuffix("]")
            expected["size"] = None
        if path.startswith("/memfd:") and path.endswith(" (deleted)"):
            kind = "memfd"
        expected["type"] = kind
    return expected
