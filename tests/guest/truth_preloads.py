"""The view `preloads` against /proc/PID/environ of every process."""

from truth_processes import text


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact: what every process was told to preload."""
    told = set()
    for pid, process in truth["processes"].items():
        for entry in (text(process.get("environ")) or "").split("\0"):
            name, _, value = entry.partition("=")
            if name in ("LD_PRELOAD", "LD_AUDIT") and value:
                told.add((int(pid), name, value))
    have = {(row["pid"], row["by"], row["value"]) for row in rows if not row["everywhere"]}
    differences = [f"{row['by']}: no such file in the guest" for row in rows if row["everywhere"]]
    differences += [f"the guest has {one}, we have not" for one in sorted(told - have)]
    return differences + [f"we have {one}, the guest has not" for one in sorted(have - told)]
