"""The view `kernel_stacks` against /proc/PID/task/TID/stack."""

import re

from truth_processes import stat_fields, status_fields, text
from truth_values import doubts_of_stacks

LINE = re.compile(r"\[<0>\] (\S+?)\+(0x[0-9a-f]+)/0x[0-9a-f]+(?: \[([^\]]+)\])?")
DOUBTS = True  # compared below
MOST_FRAMES = 64  # MAX_STACK_TRACE_DEPTH in fs/proc/base.c
KERNEL_THREAD = 0x200000  # PF_KTHREAD


def collect(guest):
    """Where the scheduler's code lies: /proc/PID/stack leaves it out."""
    bounds = {}
    for line in guest.kallsyms().splitlines():
        address, _, name = line.split()[:3]
        if name in ("__sched_text_start", "__sched_text_end"):
            bounds[name] = int(address, 16)
    return {"scheduler": (bounds["__sched_text_start"], bounds["__sched_text_end"])}


def compare(truth, rows):
    """Every frame of every thread that sleeps, equal: function, offset and module, and none of
    them a guess. A few of the kernel's own threads may have run between the guest's account and
    the pause: theirs must end in the same way."""
    first, last = truth["scheduler"]
    # A kernel with neither tables nor frame pointers guesses itself: every word that could be a return address. It begins
    # a few words earlier, with the registers that a switch saved.
    guesses = all(row["reliable"] is False for row in rows if row.get("frame"))
    stacks = {}
    for row in rows:
        if row.get("frame") is not None:
            stacks.setdefault(row["tid"], []).append(row)
    differences, compared, moved = doubts_of_stacks(truth, rows), 0, 0
    for pid, process in truth["processes"].items():
        for tid, thread in process.get("task", {}).items():
            if not text(thread.get("stat")) or int(pid) == truth["printer"]:
                continue
            told = [(f"{m[1]}+{m[2]}", m[3] or "") for m in LINE.finditer(text(thread.get("stack")) or "")]
            ours = stacks.get(int(tid), [])
            if any(row.get("cpu") is not None for row in ours):
                continue
            have = [(row.get("symbol", "").replace("+0x0", ""), row["module"]) for row in ours if not first <= int(row["address"], 16) < last]
            if told == have[:MOST_FRAMES] or (guesses and told and told[len(told) - len(have):] == have):
                compared += 1
                if not guesses and any(not row["reliable"] for row in ours):
                    differences.append(f"thread {tid}: frames equal the guest's, yet are marked as guesses")
                continue
            name = status_fields(thread).get("Name", "")
            kernel_thread = int(stat_fields(thread)[6]) & KERNEL_THREAD
            if kernel_thread and have and (not told or told[-1] == have[-1]):
                moved += 1  # it slept elsewhere a moment later; its stack still ends in the same way
                continue
            differences.append(f"thread {tid} ({name}): the guest says {told}, we say {have}")
    if compared < 20:
        differences.append(f"only {compared} stacks could be compared")
    if moved > 6:
        differences.append(f"{moved} kernel threads had moved: too many to believe")
    return differences
