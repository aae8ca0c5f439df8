#!/usr/bin/env python3
"""./dev bench events: what watching costs a guest.

    ./dev bench events                     all parts
    ./dev bench events --only counting     one of idle, counting, mix, boot, peers, stability, killed

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
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest")]

from events_test import Watch  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

VITRINE = ROOT / "build/bin/vitrine"
PROBE = ROOT / "build/bin/agent_probe"
NULL = ROOT / "build/bin/null_plugin.so"

TRACE = """
ProcessExec { Print("%d %s", process.pid, process.path) }
Syscall(open), Syscall(openat) { Print("%d %s", process.pid, string(syscall.number == 2 ? arg0 : arg1)) }
Syscall(connect) { Print("%d %d", process.pid, arg0) }
ProcessExit { Print("%d %d", process.pid, event.code) }
"""
MIX = (
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do /bin/true; done; "
    "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/tmp/f$i bs=4k count=64 2>/dev/null; cat /tmp/f$i >/dev/null; rm /tmp/f$i; done; "
    "for i in 1 2 3; do nc -w 1 127.0.0.1 9 </dev/null; done; "
    "dd if=/dev/urandom of=/tmp/r bs=64k count=8 2>/dev/null; gzip -c /tmp/r | gunzip -c | md5sum; find /proc/1 /sys/class -maxdepth 2 >/dev/null; rm /tmp/r"
)


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
    threads = [each["thread-id"] for each in guest.qmp("query_cpus_fast")]
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


def peers(options):
    """The same trace by a plain gdb script at QEMU's gdbstub: wall time, as a gdb stops the whole machine."""
    print("the mix once more: by the agent, and by a plain gdb script", flush=True)
    functions = ("do_exit", "__x64_sys_openat", "__x64_sys_connect", "__x64_sys_execve")
    with Guest(options.kernel, extra=agent_options()) as guest:
        guest.run("ip link set lo up")
        work(guest, MIX)
        alone = statistics.median(work(guest, MIX)[1] for _ in range(3))
        with Watch(PROBE, guest, TRACE) as watch:
            work(guest, MIX)
            traced = statistics.median(work(guest, MIX)[1] for _ in range(3))
        Report.figure("alone: wall time", alone, "s")
        Report.figure(f"by the agent ({len(watch.records) // 4} records a run)", traced / alone, "times")
        if shutil.which("gdb") is None:
            Report.fact("by gdb", "not tried: no gdb here")
            return
        symbols = {line.split()[2]: line.split()[0] for line in guest.kallsyms().splitlines() if line.split()[2] in functions}
        stub = guest.folder / "gdb.sock"
        guest.qmp("human-monitor-command", **{"command-line": f"gdbserver unix:{stub},server=on,wait=off"})
        script = guest.folder / "trace.gdb"
        lines = ["set pagination off", "set confirm off", "set architecture i386:x86-64", f"target remote {stub}"]
        for name, address in symbols.items():
            lines += [f"hbreak *0x{address}", "commands", "silent", f'printf "{name} %lx %lx\\n", $rdi, $rsi', "continue", "end"]
        script.write_text("\n".join([*lines, "continue", ""]))
        log = guest.folder / "gdb.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(["gdb", "-nx", "-batch", "-x", str(script)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            time.sleep(3)
            _, wall, _ = work(guest, MIX)
            events = sum(line.split(b" ")[0].decode() in functions for line in log.read_bytes().splitlines())
            Report.figure(f"by a gdb script ({events} stops)", wall / alone, "times")
            Report.fact("    gdb's breakpoints were hit", str(events), events > 50)
        finally:
            process.kill()
            process.wait()


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


PARTS = {"idle": idle, "counting": counting, "mix": mix, "boot": boot, "peers": peers, "stability": stability, "killed": killed}


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
