"""The view `threads` against /proc/PID/task/TID."""

from collections import Counter

from truth_values import NOT_KNOWN

from truth_processes import MOVING_SECONDS, RUNNING, TICK, Context, comm, compare_started, same, stat_fields, status_fields, text

POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline", 7: "ext"}


def compare(truth, rows):
    """Returns the differences, a sentence each; see truth_processes.compare().

    Exact, but for CPU, CPU time, state (among R, S, D, I) and switches of kernel threads
    and of the printer; switches of other threads may grow by 2, as a signal wakes them.
    """
    context = Context(truth, truth["processes"], {})
    begin = truth["begin"]["boottime"] / 1e9
    differences = [f"tid {tid} is listed {count} times" for tid, count in Counter(r["tid"] for r in rows).items() if count > 1]
    order = [(row["pid"], row["tid"]) for row in rows]
    if order != sorted(order):
        differences.append("rows are not ordered by pid and tid")
    told = {
        (int(pid), int(tid)): thread
        for pid, process in truth["processes"].items()
        for tid, thread in process.get("task", {}).items()
        if text(thread.get("stat"))
    }
    by_key = {(row["pid"], row["tid"]): row for row in rows}
    for key in sorted(set(told) - set(by_key)):
        differences.append(f"thread {key}: the guest has it, we have not")
    for key in sorted(set(by_key) - set(told)):
        if by_key[key]["start_time"] < begin:
            differences.append(f"thread {key}: we have it, the guest has not")
    for key in sorted(set(told) & set(by_key)):
        for column, expected, have in compare_thread(context, key, told[key], by_key[key]):
            differences.append(f"thread {key} {column}: the guest says {expected!r}, we say {have!r}")
        if by_key[key].get("doubt"):
            differences.append(f"thread {key}: a doubtful row on a paused guest: {by_key[key]['doubt']}")
    return differences


def compare_thread(context, key, thread, row):
    stat = stat_fields(thread)
    status = status_fields(thread)
    expected = {
        "name": comm(thread),
        "start_time": int(stat[19]) * TICK,
        "nice": int(stat[16]),
        "priority": int(stat[15]),
        "rt_priority": int(stat[37]),
        "policy": POLICIES[int(stat[38])],
        "kernel_thread": bool(int(stat[6]) & 0x200000),
        "cpus_allowed": status["Cpus_allowed_list"],
    }
    for column, value in expected.items():
        if not same(column, value, row[column]):
            yield column, value, row[column]
    moves = row["kernel_thread"] or key[0] == context.printer
    if row["state"] != stat[0] and not (moves and stat[0] in RUNNING and row["state"] in RUNNING):
        yield "state", stat[0], row["state"]
    if row["cpu"] != int(stat[36]) and not moves:
        yield "cpu", int(stat[36]), row["cpu"]
    for column, value in (("cpu_user", int(stat[11]) * TICK), ("cpu_system", int(stat[12]) * TICK)):
        if not value <= row[column] + 1e-9 <= value + TICK + (MOVING_SECONDS if moves else 0):
            yield column, value, row[column]
    for column, words in (("voluntary_switches", "voluntary_ctxt_switches"), ("involuntary_switches", "nonvoluntary_ctxt_switches")):  # fmt: skip
        value = int(status[words])
        if not value <= row[column] <= value + (1_000_000 if moves else 2):
            yield column, value, row[column]
    if row["started"] is not NOT_KNOWN:
        yield from compare_started(context, row, stat)
