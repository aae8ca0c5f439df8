"""The view `mounts` against /proc/PID/mountinfo of the first process of every mount namespace."""

import re

SUPER = {"ro", "rw", "sync", "dirsync", "mand", "lazytime"}


def compare(truth, rows):
    """Returns the differences, a sentence each. All is exact, the order too.

    Mounts that the namespace's first process cannot reach (`visible` is false) are in no
    mountinfo of its; of a file system's own options, those of tmpfs alone are compared.
    Texts have one character a byte (latin-1), in `truth` and in `rows`.
    """
    differences = [f"a doubtful row on a paused guest: {row}" for row in rows if row.get("doubt")]
    first = {}
    for pid, process in truth["processes"].items():
        namespaces = process.get("ns")
        if not isinstance(namespaces, dict) or not process.get("mountinfo"):
            continue
        found = re.fullmatch(r"mnt:\[(\d+)\]", namespaces.get("mnt") or "")
        if found and int(pid) < first.get(int(found[1]), (1 << 32, None))[0]:
            first[int(found[1])] = (int(pid), process)
    by_namespace = {}
    for row in rows:
        by_namespace.setdefault(row["mnt_ns"], []).append(row)
    for inode, (pid, process) in first.items():
        seen = by_namespace.get(inode, [])
        where = f"mnt:[{inode}] (pid {pid})"
        if any(row["pid"] != pid for row in seen):
            differences.append(f"{where}: seen as of pid {seen[0]['pid']}")
            continue
        expected = [record(line) for line in process["mountinfo"].split("\n") if line]
        visible = [row for row in seen if row["visible"]]
        if [r["mount_id"] for r in visible] != [e["mount_id"] for e in expected]:
            differences.append(
                f"{where}: mounts {[r['mount_id'] for r in visible]}, the guest has {[e['mount_id'] for e in expected]}"
            )
            continue
        for row, wanted in zip(visible, expected):
            differences += compare_mount(where, row, wanted)
    extra = {inode for inode, space in by_namespace.items() if space[0]["pid"] is not None} - set(first)
    if extra:
        differences.append(f"mount namespaces that the guest did not name: {sorted(extra)}")
    return differences


def unescape(text):
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def record(line):
    """One line of mountinfo; man 5 proc_pid_mountinfo."""
    before, after = line.split(" - ", 1)
    words = before.split(" ")
    kind, source, options = after.split(" ", 2)
    return {
        "mount_id": int(words[0]),
        "parent_id": int(words[1]),
        "device": words[2],
        "root": unescape(words[3]),
        "mount_point": unescape(words[4]),
        "options": words[5],
        "propagation": words[6:],
        "type": unescape(kind),
        "source": unescape(source),
        "super": options.split(","),
    }


def compare_mount(where, row, wanted):
    differences = []
    for column in wanted:
        if column != "super" and row[column] != wanted[column]:
            differences.append(f"{where} {wanted['mount_point']}: {column} is {row[column]!r}, the guest has {wanted[column]!r}")
    flags = [word for word in wanted["super"] if word in SUPER]
    if row["super_options"].split(",") != flags:
        differences.append(f"{where} {wanted['mount_point']}: super_options {row['super_options']}, the guest has {flags}")
    told = dict(word.split("=", 1) for word in (row["filesystem_options"] or "").split(",") if word)
    if wanted["type"] == "tmpfs" and not told:
        differences.append(f"{where} {wanted['mount_point']}: a tmpfs without options")
    if told:
        for word in wanted["super"]:
            key, _, value = word.partition("=")
            if key in ("size", "nr_inodes", "mode", "uid", "gid") and told.get(key) != value:
                differences.append(f"{where} {wanted['mount_point']}: {key} is {told.get(key)}, the guest has {value}")
    return differences
