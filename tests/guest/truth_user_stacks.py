"""The view `user_stacks` against /proc/PID/syscall, and against programs whose stacks are known."""

from truth_processes import text
from truth_values import doubts_of_stacks

DOUBTS = True  # compared below
KNOWN = {"frames": ["frame_innermost", *["frame_middle"] * 4, "frame_outermost"]}


def function(row):
    return (row.get("symbol") or "").split("+")[0]


def compare(truth, rows):
    """Of every process that sleeps, the address at which its program stands, exactly; of the
    actors made for it, every function from the innermost on, by name and file."""
    stacks = {}
    for row in rows:
        stacks.setdefault(row["tid"], []).append(row)
    differences, compared = doubts_of_stacks(truth, rows), 0
    for pid, process in truth["processes"].items():
        words = (text(process.get("syscall")) or "").split()
        # A process that has ended has no stack any more; real-time kernels keep its last registers.
        if (text(process.get("stat")) or "").rpartition(")")[2].split()[:1] == ["Z"]:
            continue
        # "NUMBER arguments SP PC", or "-1 SP PC"; "running" tells nothing; a kernel thread's are 0.
        if len(words) < 3 or int(words[-1], 16) == 0 or int(pid) == truth["printer"]:
            continue
        ours = stacks.get(int(pid))
        if not ours:
            differences.append(f"pid {pid}: it stands at {words[-1]}, we have no stack")
        elif int(ours[0]["address"], 16) != int(words[-1], 16):
            differences.append(f"pid {pid}: it stands at {words[-1]}, we say {ours[0]['address']}")
        else:
            compared += 1
    if compared < 20:
        differences.append(f"only {compared} programs could be compared")
    found = set()
    for stack in stacks.values():
        expected = KNOWN.get(stack[0]["name"])
        if expected is None:
            continue
        found.add(stack[0]["name"])
        have = [function(row) for row in stack]
        if have[: len(expected)] != expected:
            differences.append(f"{stack[0]['name']}: its functions are {expected}, we say {have}")
        for row in stack[: len(expected)]:
            if row.get("file") != f"/actors/{row['name']}":
                differences.append(f"{row['name']} frame {row['frame']}: we say it is of {row.get('file')}")
    differences += [f"the actor {name} was not seen" for name in sorted(set(KNOWN) - found)]
    return differences
