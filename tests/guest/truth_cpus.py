"""The view `cpus` against /proc/cpuinfo, and the threads that it names against /proc."""

from truth_kernel import cpus
from truth_values import NOT_KNOWN, differ, doubts, number

NAMES = {"vendor_id": "vendor", "model name": "model"}
NUMBERS = {"cpu family": "family", "model": "model_number", "stepping": "stepping", "apicid": "apic_id"}


def compare(truth, rows):
    """Returns the differences, a sentence each.

    Exact, but for what a CPU was just doing: of the thread on it, name and pid must belong
    together.
    """
    differences = doubts(rows)
    online = cpus(truth["files"]["/sys/devices/system/cpu/online"])
    seen = [row["cpu"] for row in rows if row["online"]]
    if seen != online:
        return [*differences, f"online CPUs are {seen}, the guest says {online}"]
    blocks = [parse(block) for block in truth["files"]["/proc/cpuinfo"].strip().split("\n\n")]
    by_number = {int(block["processor"]): block for block in blocks}
    names = thread_names(truth)
    for row in rows:
        if row["online"]:
            compare_cpu(differences, by_number[row["cpu"]], row)
            compare_task(differences, names, row)
    return differences


def compare_cpu(differences, block, row):
    where = f"cpu {row['cpu']}"
    for key, column in NAMES.items():
        differ(differences, where, column, block[key], row[column])
    for key, column in NUMBERS.items():
        if key in block:  # no apicid in a kernel for one CPU
            differ(differences, where, column, int(block[key]), row[column])
    if "microcode" in block:
        differ(differences, where, "microcode", int(block["microcode"], 16), number(row["microcode"]))
    differ(differences, where, "flags", block["flags"].split(), row["flags"])


def compare_task(differences, names, row):
    where = f"cpu {row['cpu']}"
    if row["pid"] is NOT_KNOWN:
        pass
    elif row["idle"]:
        differ(differences, where, "pid", 0, row["pid"])
        differ(differences, where, "name", f"swapper/{row['cpu']}", row["name"])
        differ(differences, where, "task", row["idle_task"], row["task"])
    elif row["pid"] == 0:
        differences.append(f"{where}: pid 0, and yet not its idle task")
    elif row["pid"] in names:
        # /proc adds what a kworker does: "kworker/0:1-events".
        name = names[row["pid"]]
        if name != row["name"] and not (name.startswith("kworker/") and name.startswith(row["name"])):
            differences.append(f"{where}: {row['pid']} is called {row['name']!r}, the guest says {name!r}")
    if row["rip"] is None:
        differences.append(f"{where}: no registers")
        return
    if row["halted"] and row["pid"] != 0:
        differences.append(f"{where}: halted, but thread {row['pid']} is on it")
    if row["privilege"] not in (0, 3) or (row["privilege"] == 3) != (number(row["rip"]) < 1 << 63):
        differences.append(f"{where}: privilege {row['privilege']} at {row['rip']}")
    if (row["privilege"] == 0) != (row["rip_symbol"] is not None):
        differences.append(f"{where}: privilege {row['privilege']} in {row['rip_symbol']}")


def thread_names(truth):
    names = {}
    for pid, process in truth["processes"].items():
        names[int(pid)] = (process.get("comm") or "").removesuffix("\n")
        for tid, task in (process.get("task") or {}).items():
            names[int(tid)] = (task.get("comm") or "").removesuffix("\n")
    return names


def parse(block):
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
