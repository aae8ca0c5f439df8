"""The view `credentials` against /proc/PID/task/TID/status."""

from truth_processes import status_fields, text


def compare(truth, rows):
    """Returns the differences, a sentence each.

    Exact: ids and capabilities of every thread, and its program, which /proc has of the leader alone: not where that has
    ended before its threads; threads of the kernel's own that began after the guest's word are left out. A row that says that a rule of the kernel's is broken is
    a difference, as nothing here breaks one.
    """
    told = {}
    for pid, process in truth["processes"].items():
        for tid, thread in process.get("task", {}).items():
            if text(thread.get("status")):
                told[int(pid), int(tid)] = (status_fields(thread), text(process.get("exe")))
    newest = max(tid for _, tid in told)
    have = {(row["pid"], row["tid"]): row for row in rows if row["path"] is not None or row["tid"] <= newest}
    differences = [f"credentials of {key}: we have them, the guest has no such thread" for key in sorted(set(have) - set(told))]
    for key in sorted(set(have) & set(told)):
        (status, program), row = told[key], have[key]
        uid, euid = (int(number) for number in status["Uid"].split()[:2])
        expected = {"uid": uid, "euid": euid, "capabilities": int(status["CapEff"], 16), "path": program}
        if program is None:
            expected["path"] = row["path"]
        seen = {"uid": row["uid"], "euid": row["euid"], "capabilities": int(row["capabilities"], 16), "path": row["path"]}
        differences += [f"{key} {name}: the guest says {expected[name]!r}, we say {seen[name]!r}" for name in expected if expected[name] != seen[name]]
        differences += [f"{key} {name}: told of a clean guest" for name in ("raised", "foreign_user", "kernels_own", "kernel_groups") if row[name]]
    leaders = {int(pid) for pid, process in truth["processes"].items() if text(process.get("status"))}
    differences += [f"credentials of {pid}: the guest has them, we have not" for pid in sorted(leaders - {pid for pid, _ in have})]
    return differences
