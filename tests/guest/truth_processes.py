"""The view `processes` against /proc/PID of every process."""

import re
from collections import Counter
from datetime import datetime, timezone

from truth_values import NOT_KNOWN

TICK = 0.01  # seconds: USER_HZ is 100 on every x86 kernel
PAGE = 4096
# What works on after the printer looked: the printer itself, and kernel threads that serve
# it or keep house. They may gain this much CPU time, in seconds, and change their state.
MOVING_SECONDS = 6.0
RUNNING = {"R", "S", "D", "I"}


def compare(truth, rows):
    """Returns the differences, a sentence each.

    `truth` is what `guests/guest truth` printed, `rows` are the view's rows as dictionaries
    of all columns, `env` included; texts have one character a byte (latin-1).

    Exact, but for: the memory of the printer itself; CPU time and state (among R, S, D, I)
    of the printer and of kernel threads; processes that started after the truth began.
    Not compared, as /proc does not tell it: address, dumpable (it must be 0, 1 or 2).
    """
    differences = []
    seen = Counter(row["pid"] for row in rows)
    differences += [f"pid {pid} is listed {count} times" for pid, count in seen.items() if count > 1]
    differences += ["rows are not ordered by pid" for _ in [0] if [r["pid"] for r in rows] != sorted(seen)]
    by_pid = {row["pid"]: row for row in rows}
    told = {int(pid): process for pid, process in truth["processes"].items() if text(process.get("stat"))}
    begin = truth["begin"]["boottime"] / 1e9
    context = Context(truth, told, by_pid)
    for pid in sorted(set(told) - set(by_pid)):
        differences.append(f"{pid} ({comm(told[pid])}): the guest has it, we have not")
    for pid in sorted(set(by_pid) - set(told)):
        if by_pid[pid]["start_time"] < begin:
            differences.append(f"{pid} ({by_pid[pid]['name']}): we have it, the guest has not")
    for pid in sorted(set(told) & set(by_pid)):
        for column, expected, have in compare_process(context, pid, told[pid], by_pid[pid]):
            differences.append(f"{pid} ({comm(told[pid])}) {column}: the guest says {expected!r}, we say {have!r}")
        if by_pid[pid].get("doubt"):
            differences.append(f"{pid}: a doubtful row on a paused guest: {by_pid[pid]['doubt']}")
    return differences


class Context:
    def __init__(self, truth, told, rows):
        self.printer = truth["printer"]
        self.boot = int(re.search(r"^btime (\d+)", truth["files"]["/proc/stat"], re.M)[1])
        self.told = told
        self.rows = rows


def text(value):
    return value if isinstance(value, str) else None


def comm(process):
    return (text(process.get("comm")) or "?").removesuffix("\n")


def link(process, name):
    """What readlink said, or None."""
    return text(process.get(name))


def stat_fields(process):
    """/proc/PID/stat from field 3 on: [0] is the state, [n] is field n + 3."""
    return process["stat"].rsplit(")", 1)[1].split()


def status_fields(process):
    return dict(re.findall(r"^([A-Za-z_]+):[ \t]*(.*?)[ \t]*$", process["status"], re.M))


def device_name(number):
    """The terminal of a tty_nr, as ps names it."""
    number = int(number)
    if number == 0:
        return None
    major = number >> 8 & 0xFFF
    minor = number & 0xFF | number >> 12 & 0xFFF00
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return f"{major}:{minor}"


def inode(process, name):
    match = re.search(r":\[(\d+)\]$", (process.get("ns") or {}).get(name) or "")
    return int(match[1]) if match else None


def strings(area):
    if not area:
        return []
    return area.removesuffix("\0").split("\0")


def unset(number):
    return None if number == 4294967295 else number


def compare_process(context, pid, process, row):
    stat = stat_fields(process)
    status = status_fields(process)
    has_memory = "VmSize" in status
    zombie = stat[0] in "ZX"
    is_printer = pid == context.printer

    expected = {
        "pid": pid,
        "tgid": int(status["Tgid"]),
        "ppid": int(status["PPid"]),
        # kworkers append what they do; that is not in task_struct.comm
        "name": comm(process),
        "address": row["address"],
        "groups": status["Groups"].split(),
        "threads": int(stat[17]),
        "start_time": int(stat[19]) * TICK,
        "session": int(stat[3]),
        "process_group": int(stat[2]),
        "tty": device_name(stat[4]),
        "tpgid": int(stat[5]),
        "kernel_thread": bool(int(stat[6]) & 0x200000),
        "priority": int(stat[15]),
        "nice": int(stat[16]),
        "rt_priority": int(stat[37]),
        "policy": {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline", 7: "ext"}[int(stat[38])],
        "exit_signal": int(stat[35]),
        "tracer": int(status["TracerPid"]),
        "ns_pids": status.get("NSpid", str(pid)).split(),  # no line without CONFIG_PID_NS
        "parents": parents_of(context, int(status["PPid"])),
        "oom_score_adj": int(process["oom_score_adj"]) if text(process.get("oom_score_adj")) else row["oom_score_adj"],
        "login_uid": unset(int(process["loginuid"])) if text(process.get("loginuid")) else row["login_uid"],
        "audit_session": unset(int(process["sessionid"])) if text(process.get("sessionid")) else row["audit_session"],
        "path": link(process, "exe"),
        "deleted": link(process, "exe").endswith(" (deleted)") if link(process, "exe") else None,
        "cwd": link(process, "cwd"),
        "root": link(process, "root"),
    }
    for words, names in (("Uid", ("uid", "euid", "suid", "fsuid")), ("Gid", ("gid", "egid", "sgid", "fsgid"))):
        expected |= dict(zip(names, map(int, status[words].split())))
    for words, name in (("CapInh", "cap_inh"), ("CapPrm", "cap_prm"), ("CapEff", "cap_eff"), ("CapBnd", "cap_bnd"), ("CapAmb", "cap_amb")):  # fmt: skip
        expected[name] = hex(int(status[words], 16))
    if "Seccomp" in status:
        expected["seccomp"] = int(status["Seccomp"])
    if "NoNewPrivs" in status:
        expected["no_new_privs"] = status["NoNewPrivs"] == "1"
    for name in ("mnt", "uts", "ipc", "pid", "pid_for_children", "net", "user", "cgroup", "time", "time_for_children"):
        if name in process.get("ns", {}):
            # The links of a zombie cannot be read, though its credentials and pid are still there.
            if not (zombie and inode(process, name) is None and name in ("user", "pid")):
                expected["ns_" + name] = inode(process, name)
    if has_memory:
        pages = list(map(int, process["statm"].split()))
        expected |= {
            "vsize": int(stat[20]),
            "text": pages[3] * PAGE,
            "data": pages[5] * PAGE,
        }
    else:
        expected |= dict.fromkeys(("rss", "vsize", "shared", "text", "data", "cmdline", "args", "env"))
    if has_memory and text(process.get("cmdline")) is not None:
        arguments = strings(process["cmdline"])
        expected["args"] = arguments
        expected["cmdline"] = process["cmdline"].rstrip("\0").replace("\0", " ")
    if has_memory and text(process.get("environ")) is not None:
        expected["env"] = strings(process["environ"])
    if text(process.get("cgroup")):
        lines = process["cgroup"].splitlines()
        expected["cgroups"] = lines
        unified = [line for line in lines if line.startswith("0::")]
        expected["cgroup"] = unified[0][3:] if unified else row["cgroup"]

    for column, value in expected.items():
        have = row.get(column, "(no such column)")
        if same(column, value, have) or (is_printer and column in ("vsize", "data", "env")):
            continue
        yield column, value, have
    yield from compare_moving(context, process, row, stat, has_memory, is_printer)


def same(column, expected, have):
    if column == "start_time":  # /proc cuts to whole ticks
        return have is not None and expected <= have + 1e-9 and have < expected + TICK
    if column == "name" and isinstance(have, str) and expected != have:
        # "kworker/0:1-events": a worker's task as wq_worker_comm() adds it
        return expected.startswith(have + "-") or expected.startswith(have + "+") or len(have) == 15 and expected.startswith(have)
    return expected == have


def compare_moving(context, process, row, stat, has_memory, is_printer):
    state = stat[0]
    moves = is_printer or row["kernel_thread"]
    if row["state"] != state and not (moves and state in RUNNING and row["state"] in RUNNING):
        yield "state", state, row["state"]
    if has_memory and not is_printer:
        pages = list(map(int, process["statm"].split()))
        for column, value in (("rss", pages[1] * PAGE), ("shared", pages[2] * PAGE)):
            if row[column] != value:
                yield column, value, row[column]
    for column, value in (("cpu_user", int(stat[11]) * TICK), ("cpu_system", int(stat[12]) * TICK)):
        have = row[column]
        most = value + TICK + (MOVING_SECONDS if moves else 0)  # /proc cuts to whole ticks
        if have is None or have + 1e-9 < value or have > most:
            yield column, value, have
    if row["started"] is not NOT_KNOWN:
        yield from compare_started(context, row, stat)
    if state == "Z":
        if int(stat[49]) != row["exit_code"]:
            yield "exit_code", int(stat[49]), row["exit_code"]
    elif row["exit_code"] is not None:
        yield "exit_code", None, row["exit_code"]
    if has_memory and row["dumpable"] not in (0, 1, 2):
        yield "dumpable", "0, 1 or 2", row["dumpable"]


def compare_started(context, row, stat):
    begun = datetime.fromisoformat(row["started"][:19]).replace(tzinfo=timezone.utc).timestamp() if row["started"] else None
    if begun is None or abs(begun - context.boot - int(stat[19]) * TICK) > 2:
        yield "started", context.boot + int(stat[19]) * TICK, row["started"]


def parents_of(context, pid):
    chain = []
    while pid and pid in context.told:
        name = context.rows[pid]["name"] if pid in context.rows else comm(context.told[pid])
        chain.append(f"{pid} {name}")
        pid = int(status_fields(context.told[pid])["PPid"])
    return chain[::-1]
