"""The view `kernel_log` against /dev/kmsg, record by record."""

import re

from truth_values import differ, doubts, nanoseconds

FACILITIES = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"]
LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"]


def compare(truth, rows):
    """Returns the differences, a sentence each.

    Exact, but for records that were written after the guest had been asked, and old ones that
    those have overwritten since. Times are told in microseconds by /dev/kmsg.
    """
    differences = doubts(rows)
    records = [parse(record) for record in truth["kmsg"]]
    by_sequence = {row["sequence"]: row for row in rows}
    if len(by_sequence) != len(rows):
        differences.append("a sequence number is listed twice")
    if [row["sequence"] for row in rows] != sorted(by_sequence):
        differences.append("records are not in the order of their sequence")
    last = max((record["sequence"] for record in records), default=-1)
    newer = [row for row in rows if row["sequence"] > last]
    for record in records:
        row = by_sequence.pop(record["sequence"], None)
        if row is None:
            if not newer or record["sequence"] > rows[0]["sequence"]:
                differences.append(f"record {record['sequence']} is missing: {record['text']!r}")
            continue
        compare_record(differences, record, row)
    for sequence, row in by_sequence.items():
        if sequence <= last:
            differences.append(f"record {sequence} is not in /dev/kmsg: {row['text']!r}")
    return differences


def compare_record(differences, record, row):
    where = f"record {record['sequence']}"
    differ(differences, where, "time", record["microseconds"], nanoseconds(row["time"]) // 1000)
    differ(differences, where, "severity", record["priority"] & 7, row["severity"])
    differ(differences, where, "level", LEVELS[record["priority"] & 7], row["level"])
    differ(differences, where, "facility", facility(record["priority"] >> 3), row["facility"])
    differ(differences, where, "continued", record["flags"] == "c", row["continued"])
    differ(differences, where, "text", record["text"], row["text"])
    differ(differences, where, "dictionary", record["dictionary"], row["dictionary"])
    if record["caller"] is not None:  # only with CONFIG_PRINTK_CALLER
        differ(differences, where, "caller", record["caller"], row["caller"])
    if re.fullmatch(r"[TC]\d+", row["caller"] or "") is None:
        differences.append(f"{where}: {row['caller']!r} is no caller")
        return
    who = "thread" if row["caller"][0] == "T" else "cpu"
    differ(differences, where, who, int(row["caller"][1:]), row[who])


def facility(value):
    if value < len(FACILITIES):
        return FACILITIES[value]
    return f"local{value - 16}" if 16 <= value < 24 else str(value)


def parse(record):
    """One read of /dev/kmsg: "prio,seq,usec,flags[,key=value...];text", then " KEY=value" lines."""
    head, _, body = record.partition(";")
    priority, sequence, microseconds, flags, *more = head.split(",")
    lines = body.removesuffix("\n").split("\n")
    named = dict(word.partition("=")[::2] for word in more)
    return {
        "priority": int(priority),
        "sequence": int(sequence),
        "microseconds": int(microseconds),
        "flags": flags,
        "caller": named.get("caller"),
        "text": unescape(lines[0]),
        "dictionary": [unescape(line[1:]) for line in lines[1:]],
    }


def unescape(text):
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)
