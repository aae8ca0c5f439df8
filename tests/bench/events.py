#!/usr/bin/env python3
"""./dev bench events: what watching costs a guest.

    ./dev bench events                     all parts
    ./dev bench events --only counting     one of idle, counting, writes, mix, boot, peers, stability,
                                           killed, stub-killed

What watching costs is measured in one guest: its work alone; under a plugin that looks at each
block that is translated and does nothing (tests/bench/null_plugin.cpp: what QEMU itself charges
for any such plugin); under the agent and its script. Several guests are booted for it: QEMU's
TLB lets a boot be half as fast as another, by where the kernel happened to put its stacks. Of
each guest and way the least of several runs counts, and printed are medians over the guests of
their ratios. What is compared is the processor time of QEMU's vCPU thread for the same amount of
work, which a busy host does not change much; wall time stands beside it. Each part checks its
result: a count that is wrong fails the bench.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest")]

from events_test import Watch  # noqa: E402
from watched_guest import WatchedGuest  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

VITRINE = ROOT / "build/bin/vitrine"
PROBE = ROOT / "build/bin/agent_probe"
NULL = ROOT / "build/bin/null_plugin.so"

TRACE = """
ProcessExec { Print("%d %s %s", process.pid, process.path, process.name) }
Syscall(open), Syscall(openat) { Print("%d %s", process.pid, string(syscall.number == 2 ? arg0 : arg1)) }
Syscall(connect) { Print("%d %d", process.pid, arg0) }
ProcessExit { Print("%d %d %s", process.pid, event.code, process.name) }
"""
MIX = (
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do /bin/true; done; "
    "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/tmp/f$i bs=4k count=64 2>/dev/null; cat /tmp/f$i >/dev/null; rm /tmp/f$i; done; "
    "for i in 1 2 3; do nc -w 1 127.0.0.1 9 </dev/null; done; "
    "dd if=/dev/urandom of=/tmp/r bs=64k count=8 2>/dev/null; gzip -c /tmp/r | gunzip -c | md5sum; find /proc/1 /sys/class -maxdepth 2 >/dev/null; rm /tmp/r"
)
MIX_PROGRAMS = ("sh", "dd", "cat", "rm", "nc", "gzip", "gunzip", "md5sum", "find")


class Report:
    wrong = []

    @classmethod
    def figure(cls, what, value, unit, target=None):
        verdict = "" if target is None else f"  target {target:g} {unit}: {'met' if value <= target else 'MISSED'}"
        print(f"  {what:<64} {value:10.2f} {unit}{verdict}", flush=True)

    @classmethod
    def fact(cls, what, text, ok=True):
        print(f"  {what:<64} {text}", flush=True)
        if not ok:
            cls.wrong.append(f"{what}: {text}")


def agent_options():
    return subprocess.run([VITRINE, "qemu-args"], capture_output=True, text=True, check=True).stdout.strip()


def vcpu_seconds(guest):
    """Processor time of the guest's vCPU threads so far."""
    threads = [each["thread-id"] for each in guest.qmp("query-cpus-fast")]
    return sum(int(Path(f"/proc/{guest.pid}/task/{thread}/schedstat").read_text().split()[0]) for thread in threads) / 1e9


def work(guest, command):
    """The command in the guest: (processor time of the vCPUs, wall time, output)."""
    cpu, wall = vcpu_seconds(guest), time.perf_counter()
    status, said = guest.run(command, 600)
    if status != 0:
        raise SystemExit(f"{command}: status {status}: {said.decode(errors='replace')}")
    return vcpu_seconds(guest) - cpu, time.perf_counter() - wall, said.decode(errors="replace")


WAYS = ("alone", "QEMU's share, for any plugin", "with the script")


def told(name, took, target):
    """`took`: for each guest and way, (processor time, wall time). Prints the medians of the guests' ratios."""
    ways = list(took[0])
    for way in ways[1:]:
        cpu, wall = ([guest[way][i] / guest[ways[0]][i] for guest in took] for i in (0, 1))
        Report.figure(f"{name}: {way}", 100 * (statistics.median(cpu) - 1), "%", target if way == ways[-1] else None)
        spread = f"{100 * (min(cpu) - 1):+.1f} to {100 * (max(cpu) - 1):+.1f} %"
        Report.fact("    guests, spread, wall time", f"{len(took)}, {spread}, {100 * (statistics.median(wall) - 1):+.1f} %")
    if len(ways) > 2:
        ours = statistics.median(guest[ways[2]][0] / guest[ways[1]][0] for guest in took)
        Report.figure(f"{name}: beyond QEMU's share", 100 * (ours - 1), "%")


def least(runs, run):
    """The least processor time of some runs after one that has the code translated, and the least wall time."""
    run()
    took = [run() for _ in range(runs)]
    return min(each[0] for each in took), min(each[1] for each in took)


class Bench:
    """A guest with the agent and the null plugin, neither of which looks at code yet."""

    def __init__(self, options):
        self.runs = options.runs
        self.wish = Path(tempfile.mkdtemp()) / "wish"
        self.guest = Guest(options.kernel, extra=f"{agent_options()} -plugin {NULL},wish={self.wish}")

    def __enter__(self):
        self.guest.boot()
        return self

    def __exit__(self, *unused):
        self.guest.close()
        shutil.rmtree(self.wish.parent)

    def null(self, word):
        """`flush`: all code is translated anew, as when a program comes; `look`: and looked at from now on."""
        self.wish.write_text(word)
        for _ in range(200):
            if not self.wish.exists():
                return
            self.guest.run("true")
            time.sleep(0.02)
        raise SystemExit("the null plugin does not answer")

    def compare(self, command, *scripts):
        """Ways in this order, as a plugin that looked goes on. `scripts`: (name, text, what to do with its maps and records)."""
        run = lambda: work(self.guest, command)  # noqa: E731
        run()
        self.null("flush")
        alone = least(self.runs, run)
        self.null("look")
        any_plugin = least(self.runs, run)
        took = {}
        for name, script, look in scripts:
            with Watch(PROBE, self.guest, script) as watch:
                took[name] = dict(zip(WAYS, (alone, any_plugin, least(self.runs, run))))
            look(watch)
        return took


def over_guests(options, prepare, command, target, *scripts):
    all_of = []
    for _ in range(options.guests):
        with Bench(options) as bench:
            if prepare:
                bench.guest.run(prepare)
            all_of.append(bench.compare(command, *scripts))
    for name in all_of[0]:
        told(name, [each[name] for each in all_of], target if name == scripts[0][0] else None)
    return all_of


def idle(options):
    """A machine with the agent loaded and idle, beside one without: the least of several guests, see above."""
    print("idle agent against none: a loop of system calls, forks and files", flush=True)
    command = f"COUNT={options.calls} /actors/calls >/dev/null; COUNT=20 /actors/family >/dev/null"
    took = {"": [], agent_options(): []}
    for _ in range(options.guests):
        for extra, seen in took.items():
            with Guest(options.kernel, extra=extra) as guest:
                seen.append(least(options.runs, lambda: work(guest, command)))
    told("idle agent", [{"none": min(took[""]), "idle": min(took[agent_options()])}], 1)


def counting(options):
    """Every system call counted."""
    print(f"counting every system call of a loop of {options.calls} calls", flush=True)
    done = (options.runs + 1) * options.calls
    counts = {}

    def keep(name, key):
        def look(watch):
            counts.setdefault(name, []).append(sum(row["count"] or row["value"] for row in watch.maps["calls"] if key is None or row["keys"][0] == key))

        return name, look

    plain, number, name = keep("@calls = count()", None), keep("@calls[number], of one process's name", 8), keep("@calls[syscall.name] = count()", "lseek")
    took = over_guests(options, None, f"COUNT={options.calls} /actors/calls", 10,
                       (plain[0], "Syscall { @calls = count() }", plain[1]),
                       (name[0], "Syscall { @calls[syscall.name] = count() }", name[1]),
                       (number[0], 'Syscall when (process.name == "calls") { @calls[syscall.number] = count() }', number[1]))  # fmt: skip
    Report.figure("events a second of processor time and vCPU", statistics.median(options.calls / each[plain[0]][WAYS[2]][0] for each in took), "")
    Report.fact("    counted, at least", f"{min(counts[plain[0]])} of {done}", min(counts[plain[0]]) >= done)
    for each in (name, number):
        Report.fact(f"    {each[0]}", f"{set(counts[each[0]])} of {done}", set(counts[each[0]]) == {done})


def writes(options):
    """Probes of memory that is rarely written: every store of the guest passes them."""
    print("a word watched for writes, of a program and of the kernel, under gzip, md5sum, find, cat and shells", flush=True)
    count, seen = 100, {}
    command = ("dd if=/dev/urandom of=/tmp/r bs=64k count=6 2>/dev/null; for i in 1 2 3 4; do gzip -c /tmp/r | gunzip -c | md5sum; "
               "find /proc/1 /sys/class -maxdepth 2; for j in 1 2 3 4 5; do cat /proc/self/maps; done; done >/dev/null; rm /tmp/r; "
               f"COUNT={count} /actors/writes; echo 1000 >/proc/sys/kernel/panic")  # fmt: skip

    def script(what, where, field):
        name = f"{what}, event.{field}"
        return name, f'WriteAt({where}) {{ Print("%d", event.{field}) }}', lambda watch: seen.setdefault(name, []).append((len(watch.records), watch.lost))

    program, kernel = "0x5ee500000100, 8", "panic_timeout, 4"
    over_guests(options, "echo 1000 >/proc/sys/kernel/panic", command, None,
                script("of a program", program, "value"), script("of a program", program, "old"),
                script("of the kernel", kernel, "value"), script("of the kernel", kernel, "old"))  # fmt: skip
    for name, all_of in seen.items():
        expected = (count if "program" in name else 1) * (options.runs + 1)
        Report.fact(f"    {name}: (records, lost) of {expected}", str(set(all_of)), set(all_of) == {(expected, 0)})


def mix(options):
    """Process churn, file and socket work, compression, with execs, opens, connects and exits traced."""
    print("a realistic mix, with a script that traces execs, opens, connects and exits", flush=True)
    seen = []
    over_guests(options, "ip link set lo up", MIX, 5,
                ("the mix", TRACE, lambda watch: seen.append((len(watch.of(0)), len(watch.records), watch.lost))))  # fmt: skip
    # One shell, and in it 8 dd, 8 cat, 8 rm ... of busybox: at least 30 are executed in each run.
    execs = 30 * (options.runs + 1)
    Report.fact("    records (execs, all, lost)", f"{seen[0]} ... {seen[-1]}", all(e >= execs for e, _, _ in seen) and not any(lost for _, _, lost in seen))


def boot(options):
    """From nothing to the prompt; the script starts as soon as the kernel can be told."""
    print("a boot, with the same script from the moment on at which the kernel is found", flush=True)
    seen = []

    def booted(extra):
        guest = Guest(options.kernel, extra=extra)
        begin = time.perf_counter()
        watcher = Early(guest) if extra == agent_options() else None
        try:
            guest.boot()
            return vcpu_seconds(guest), time.perf_counter() - begin
        finally:
            if watcher:
                watcher.end()
                seen.append((watcher.started, watcher.records))
            guest.close()

    extras = ("", f"-plugin {NULL}", agent_options())
    told("boot", [dict(zip(WAYS, (booted(extra) for extra in extras))) for _ in range(options.guests)], 5)
    Report.fact("    script started (s), records", f"{seen[0]} ... {seen[-1]}", all(started and records for started, records in seen))


class Early(threading.Thread):
    """Starts the trace on a machine that is only just booting, as soon as that is possible."""

    def __init__(self, guest):
        super().__init__()
        self.guest, self.started, self.records, self.over = guest, None, 0, threading.Event()
        self.start()

    def run(self):
        begin = time.perf_counter()
        while not self.over.is_set():
            try:
                with Watch(PROBE, self.guest, TRACE) as watch:
                    self.started = round(time.perf_counter() - begin, 1)
                    self.over.wait()
                self.records = len(watch.records)
            except AssertionError:
                self.over.wait(0.1)

    def end(self):
        self.over.set()
        self.join()


# Of these an event's last value says which: a path, or a process's name.
NAMED = ("ProcessExec", "ProcessExit", "Syscall(open)", "Syscall(openat)")


class Run:
    """`vitrine run` with the trace, as its user starts it; then its records."""

    def __init__(self, guest, script, *words):
        self.lines, self.counts, self.what = [], Counter(), Counter()
        self.log = tempfile.TemporaryFile("w+")
        script = 'Start { Print("started") }\n' + script
        self.process = subprocess.Popen([VITRINE, "run", "--json", "-e", script, str(guest.pid), *words], stdout=self.log, stderr=subprocess.STDOUT)

    def read(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        while "started" not in self.read():
            if self.process.poll() is not None:
                raise SystemExit(f"the script did not start: {self.read()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *unused):
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        for line in self.read().splitlines():
            if line.startswith("{"):
                self.lines.append(json.loads(line))
        for line in self.lines:
            if line["type"] == "print" and line["event"] != "Start":
                self.counts[line["event"]] += 1
                self.what[line["event"], line["values"][-1] or "?" if line["event"] in NAMED else ""] += 1
        self.end = next((line for line in self.lines if line["type"] == "end"), {})

    @property
    def lost(self):
        return self.end.get("lost_records", -1) + self.end.get("lost_firings", -1)


GDB_PLACES = {"taskstats_exit": "ProcessExit", "proc_exec_connector": "ProcessExec", "__x64_sys_open": "Syscall(open)",
              "__x64_sys_openat": "Syscall(openat)", "__x64_sys_connect": "Syscall(connect)"}  # fmt: skip
# At a call's own function rdi leads to a pt_regs: the program's rdi lies at 112 there, its rsi at 104. At the
# others rdi is the task: its name lies at COMM.
GDB_SCRIPT = """
import gdb, struct

PATHS = {"__x64_sys_open": 112, "__x64_sys_openat": 104}
TASKS = ("taskstats_exit", "proc_exec_connector")

def path(name):
    try:
        inferior, frame = gdb.selected_inferior(), int(gdb.parse_and_eval("$rdi")) % 2**64
        at = struct.unpack("<Q", inferior.read_memory(frame + PATHS[name], 8))[0]
        return bytes(inferior.read_memory(at, min(64, 4096 - at % 4096))).split(b"\\0")[0].decode(errors="replace")
    except gdb.error:
        return "?"

def process():
    task = int(gdb.parse_and_eval("$rdi")) % 2**64
    return bytes(gdb.selected_inferior().read_memory(task + COMM, 16)).split(b"\\0")[0].decode(errors="replace")

class Place(gdb.Breakpoint):
    def __init__(self, name, address):
        super().__init__(f"*{address:#x}", type=gdb.BP_HARDWARE_BREAKPOINT)
        self.name = name
    def stop(self):
        if self.name == "taskstats_exit" and int(gdb.parse_and_eval("$rsi")) & 0xff == 0:
            return False  # a thread, not the last of its process
        said = path(self.name) if self.name in PATHS else process() if self.name in TASKS else ""
        gdb.write(f"{self.name} {said}\\n")
        gdb.flush()
        return False

gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set architecture i386:x86-64")
gdb.execute("target remote STUB")
for name, address in SYMBOLS:
    Place(name, address)
gdb.write("in place\\n")
gdb.flush()
gdb.execute("continue")
"""


class GdbRun:
    """What a gdb's log tells."""

    lost = 0

    def __init__(self, log):
        self.counts, self.what = Counter(), Counter()
        for line in log.decode(errors="replace").splitlines():
            name, _, rest = line.partition(" ")
            if name in GDB_PLACES:
                event = GDB_PLACES[name]
                self.counts[event] += 1
                self.what[event, rest if event in NAMED else ""] += 1


def by_gdb(guest):
    """The mix under a gdb that stops at the same places and prints the same: (what work() says, what it saw)."""
    symbols = [(name, int(address, 16)) for address, _, name, *_ in map(str.split, guest.kallsyms().splitlines()) if name in GDB_PLACES]
    stub, script, log = (guest.folder / name for name in ("gdb.sock", "trace.py", "gdb.log"))
    stub.unlink(missing_ok=True)
    guest.human(f"gdbserver unix:{stub},server=on,wait=off")
    told = subprocess.run([VITRINE, "type", str(guest.pid), "task_struct.comm"], capture_output=True, text=True, check=True)
    comm = re.search(r"offset (\d+)", told.stdout)[1]
    script.write_text(GDB_SCRIPT.replace("STUB", str(stub)).replace("SYMBOLS", repr(symbols)).replace("COMM", comm))
    with open(log, "wb") as out:
        process = subprocess.Popen(["gdb", "-nx", "-batch", "-x", str(script)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        while b"in place" not in log.read_bytes() or not guest.qmp("query-status")["running"]:
            if process.poll() is not None:
                raise SystemExit(f"gdb ended: {log.read_text()}")
            time.sleep(0.1)
        measured = work(guest, MIX)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)  # it stops the machine, and its script ends: detached
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        guest.human("gdbserver none")
        guest.qmp("cont")
    return measured, GdbRun(log.read_bytes())


def ended(guest):
    """Tasks that have ended so far, by the guest's own count: those that were made, without those that are there."""
    made = next(line for line in guest.file("/proc/stat").decode().splitlines() if line.startswith("processes"))
    return int(made.split()[1]) - int(guest.file("/proc/loadavg").split()[3].split(b"/")[1])


def exits_agree(who, guest, run, before):
    exits, own = run.counts["ProcessExit"], ended(guest) - before
    Report.fact(f"    {who}: exits, and the guest's own count of them", f"{exits}, {own}", exits == own)
    return exits == own


def peers(options):
    """One trace three ways: the agent, our gdbstub source, a plain gdb script. A gdbstub stops the whole machine, so wall time counts."""
    print("the mix traced by the agent, by our gdbstub source, and by a plain gdb script, over the same machine's alone", flush=True)
    costs, seen = {}, {}

    def figures(who, alone):
        wall, cpu = (statistics.median(one[i] for one in costs[who]) / statistics.median(one[i] for one in alone) for i in (1, 0))
        Report.figure(f"{who}: wall time", wall, "times")
        Report.fact("    processor time of the vCPU; runs", f"{cpu:.2f} times; {len(costs[who])}")

    with Guest(options.kernel, extra=agent_options()) as guest:
        guest.run("ip link set lo up")
        work(guest, MIX)
        alone = [work(guest, MIX) for _ in range(3)]
        Report.figure("alone: wall time", statistics.median(one[1] for one in alone), "s")
        with Run(guest, TRACE, "--rate-limit", "0"):
            work(guest, MIX)  # the code is translated anew
            costs["by the agent"] = [work(guest, MIX) for _ in range(3)]
        with Run(guest, TRACE, "--rate-limit", "0") as run:
            work(guest, MIX)
        seen["agent"] = run
        figures("by the agent", alone)
    with Guest(options.kernel) as guest:
        guest.run("ip link set lo up")
        work(guest, MIX)
        alone = [work(guest, MIX) for _ in range(3)]
        has_gdb = shutil.which("gdb") is not None
        costs["by our gdbstub source"], costs["by a gdb script"] = [], []
        for _ in range(2):  # in turn, as a host is not always as busy
            before = ended(guest)
            with Run(guest, TRACE, "--rate-limit", "0") as run:
                costs["by our gdbstub source"].append(work(guest, MIX))
            seen["gdbstub"] = run
            status = guest.qmp("query-status")["status"]
            if not exits_agree("gdbstub", guest, run, before) or status != "running":
                Report.fact("    the machine afterwards", status, status == "running")
                return
            if has_gdb:
                before = ended(guest)
                measured, seen["gdb"] = by_gdb(guest)
                costs["by a gdb script"].append(measured)
                exits_agree("gdb", guest, seen["gdb"], before)
        figures("by our gdbstub source", alone)
        if not has_gdb:
            Report.fact("by a gdb script", "not tried: no gdb here")
            return
        figures("by a gdb script", alone)
        ratio = statistics.median(ours[1] / theirs[1] for ours, theirs in zip(costs["by our gdbstub source"], costs["by a gdb script"]))
        Report.figure("our gdbstub source over the gdb script: wall time", ratio, "times")
    for who, run in seen.items():
        Report.fact(f"    what {who} saw in a run", f"{dict(sorted(run.counts.items()))}; {run.lost} lost", run.lost == 0)
    # `nc -w` gives up after a second by itself: on a machine that is stopped all the time it may ask twice.
    for who in ("gdbstub", "gdb"):
        more, less = seen[who].what - seen["agent"].what, seen["agent"].what - seen[who].what
        rest = {key: count for key, count in (more | less).items() if key[0] != "Syscall(connect)"}
        # Each traced a run of its own, in which the guest may have done other things, too.
        others = {key: count for key, count in rest.items() if key[0] in ("ProcessExec", "ProcessExit") and key[1] not in MIX_PROGRAMS}
        rest = {key: count for key, count in rest.items() if key not in others}
        if others:
            Report.fact("    what was in one run alone, and is none of the mix", str(others))
        Report.fact(f"    {who} beside the agent", f"{rest or 'the same execs, exits and opens, by process and by path'}", not rest)


def stability(options):
    """Probes come and go while events come by the million."""
    print(f"{options.events} events while probes are added and removed", flush=True)
    scripts = ["Syscall { @n = count() }", 'Syscall(lseek) { @n = count() }\nExecuteAt(ksys_lseek) { @m = count() }',
               "SyscallReturn { @n[ret] = count() }", "Exception(14) { @n = count() }\nProcessStart { @m = count() }"]  # fmt: skip
    with Guest(options.kernel, cpus=2, extra=agent_options()) as guest:
        guest.run("dd if=/dev/urandom of=/tmp/check bs=64k count=16 2>/dev/null")
        _, before = guest.run("md5sum /tmp/check")
        guest.run("(while [ ! -e /tmp/stop ]; do COUNT=100000 /actors/calls; done) >/tmp/calls 2>&1 &")
        rounds, counted = 0, 0
        enough = options.events // 100_000
        while rounds < options.programs_come or counted < options.events or int(guest.run("wc -l </tmp/calls")[1]) < enough:
            with Watch(PROBE, guest, scripts[rounds % len(scripts)]) as watch:
                time.sleep(random.uniform(0.05, 0.8))
            counted += sum((row["count"] or row["value"] or 0) for rows in watch.maps.values() for row in rows)
            rounds += 1
        guest.run("touch /tmp/stop; sleep 1; while pidof calls; do sleep 1; done")
        _, said = guest.run("cat /tmp/calls; md5sum /tmp/check")
        said = said.decode()
        loops = [line for line in said.splitlines() if line.startswith("pid ")]
        right = sum("calls 100000 failed 100000" in line for line in loops)
        Report.fact("    programs started and stopped", f"{rounds}, {counted} events counted", counted >= options.events)
        Report.fact("    the guest's own account", f"{right * 100_000} calls, each with its result", right == len(loops) >= enough)
        Report.fact("    its checksum", "the same" if before.decode() in said else "another", before.decode() in said)
        complaints(guest)


def complaints(guest):
    _, said = guest.run("dmesg | grep -E 'BUG|WARNING|Oops|rcu.*stall|general protection|segfault' | head -3")
    Report.fact("    its log", said.decode(errors="replace").strip() or "no complaint", not said.strip())


def killed(options):
    """The host's program is killed at moments that nobody chose."""
    print(f"the watching program killed by SIGKILL {options.kills} times", flush=True)
    script = "Syscall { @n[process.name] = count() }\nProcessExec { Print(\"%s\", process.path) }\nExecuteAt(do_exit) { @e = count() }"
    chance = random.Random(1)
    with Guest(options.kernel, extra=agent_options()) as guest:
        guest.run("(while true; do /bin/true; cat /proc/self/stat; done) >/dev/null 2>&1 &")
        started = 0
        for _ in range(options.kills):
            process = subprocess.Popen([PROBE, "watch", guest.name, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
            started += b"started_ms" in said
        status, said = guest.run("echo alive")
        Report.fact("    killed after it had started a script", f"{started} of {options.kills}", started > 0)
        Report.fact("    the guest", said.decode().strip(), status == 0 and b"alive" in said)
        begin = time.perf_counter()
        with Watch(PROBE, guest, 'Syscall(lseek) when (process.name == "calls") { @n = count() }') as watch:
            work(guest, "COUNT=500 /actors/calls")
        count = sum(row["count"] or row["value"] for row in watch.maps.get("n", []))
        Report.fact("    the next attach, counting 500 calls", f"{count} after {time.perf_counter() - begin:.1f} s", count == 500)
        complaints(guest)


def stub_killed(options):
    """The same without an agent: breakpoints through the gdbstub must not outlive their owner."""
    print(f"`vitrine run` by the gdbstub killed by SIGKILL {options.kills} times", flush=True)
    script = 'ProcessExec { Print("%s", process.path) }\nSyscall(openat) { @n = count() }\nExecuteAt(do_exit) { @e = count() }\nReturn(do_sys_openat2) { @r = count() }'
    chance = random.Random(1)
    with Guest(options.kernel, cpus=2) as guest:
        guest.run("(while true; do /bin/true; cat /proc/self/stat; done) >/dev/null 2>&1 &")
        test = WatchedGuest(guest, None)
        started, slowest = 0, 0.0
        for _ in range(options.kills):
            with tempfile.TemporaryFile() as log:
                process = subprocess.Popen([VITRINE, "run", "-e", 'Start { Print("started\\n") }\n' + script, str(guest.pid)], stdout=log, stderr=log)
                time.sleep(chance.uniform(0, 2))
                process.send_signal(signal.SIGKILL)
                process.wait()
                log.seek(0)
                started += b"started" in log.read()
            slowest = max(slowest, test.settled(30))
        Report.fact("    killed after it had started the script", f"{started} of {options.kills}", started > options.kills // 4)
        Report.fact("    QEMU's objects, devices, events and state", f"as before after each, within {slowest:.2f} s")
        status, said = guest.run("echo alive")
        Report.fact("    the guest", said.decode().strip(), (status, said) == (0, b"alive\n"))
        begin = time.perf_counter()
        with Run(guest, 'Syscall(mkdir) { Print("x") }', "--rate-limit", "0") as run:
            work(guest, "for i in 1 2 3 4 5 6 7 8 9 10; do mkdir /tmp/d$i; done")
        Report.fact("    the next attach, counting 10 calls of mkdir", f"{run.counts.total()} after {time.perf_counter() - begin:.1f} s", run.counts.total() == 10)
        complaints(guest)


PARTS = {"idle": idle, "counting": counting, "writes": writes, "mix": mix, "boot": boot, "peers": peers, "stability": stability, "killed": killed, "stub-killed": stub_killed}


def main():
    global VITRINE, PROBE, NULL
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], choices=list(PARTS))
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--guests", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5, help="of each guest and way")
    parser.add_argument("--calls", type=int, default=500_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--programs-come", type=int, default=30, help="programs that come and go, at least")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--programs", type=Path, default=VITRINE.parent, help="where vitrine and agent_probe are")
    options = parser.parse_args()
    VITRINE, PROBE, NULL = options.programs / "vitrine", options.programs / "agent_probe", options.programs / "null_plugin.so"
    load = os.getloadavg()[0]
    print(f"Linux {options.kernel}, 256 MiB, TCG; {os.cpu_count()} host CPUs, load average {load:.1f}", flush=True)
    for name in options.only or PARTS:
        PARTS[name](options)
    for text in Report.wrong:
        print(f"wrong: {text}")
    return 1 if Report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
