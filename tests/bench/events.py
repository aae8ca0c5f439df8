#!/usr/bin/env python3
"""./dev bench events: what watching costs a guest.

    ./dev bench events                     all parts
    ./dev bench events --only counting     one of idle, counting, mix, peers, stability, killed

Each cost is a pair: the same work in the guest with and without, in turn (A B A B), the median
of the pairs' ratios. What is compared is the processor time of QEMU's vCPU thread for the same
amount of work, which a busy host does not change much; wall time stands beside it. Each part
checks its result: a count that is wrong fails the bench.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest")]

from events_test import Watch  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

VITRINE = ROOT / "build/bin/vitrine"
PROBE = ROOT / "build/bin/agent_probe"

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


def warm(guest, command):
    """The work once unmeasured, as a program that comes or goes has the code translated anew; then measured."""
    work(guest, command)
    return work(guest, command)


def paired(name, pairs, without, with_it, target):
    """The median of the pairs' ratios, as a cost in percent."""
    cpu, wall = [], []
    for number in range(pairs):
        order = (without, with_it) if number % 2 == 0 else (with_it, without)
        first, second = order[0](), order[1]()
        a, b = (first, second) if number % 2 == 0 else (second, first)
        cpu.append(b[0] / a[0])
        wall.append(b[1] / a[1])
    spread = f"{100 * (min(cpu) - 1):+.1f} to {100 * (max(cpu) - 1):+.1f} %"
    Report.figure(f"{name}: processor time", 100 * (statistics.median(cpu) - 1), "%", target)
    Report.fact("    pairs, spread, wall time", f"{pairs}, {spread}, {100 * (statistics.median(wall) - 1):+.1f} %")


def idle(options):
    """A machine with the agent loaded and idle, beside one without."""
    print("idle agent against none: a loop of system calls, forks and files", flush=True)
    command = f"COUNT={options.calls} /actors/calls >/dev/null; COUNT=20 /actors/family >/dev/null"
    with Guest(options.kernel, extra="") as plain, Guest(options.kernel, extra=agent_options()) as agent:
        for guest in (plain, agent):
            work(guest, command)  # translates the code
        paired("idle agent", options.pairs, lambda: warm(plain, command), lambda: warm(agent, command), 1)


def counting(options):
    """Every system call counted."""
    print(f"counting every system call of a loop of {options.calls} calls", flush=True)
    command = f"COUNT={options.calls} /actors/calls"
    with Guest(options.kernel, extra=agent_options()) as guest:
        work(guest, command)
        counts = []

        def counted():
            with Watch(PROBE, guest, 'Syscall when (process.name == "calls") { @calls[syscall.number] = count() }') as watch:
                first = warm(guest, command)
            counts.append(sum(row["count"] or row["value"] for row in watch.maps["calls"] if row["keys"][0] == 8))
            return first

        def counted_plain():
            with Watch(PROBE, guest, "Syscall { @calls = count() }") as watch:
                first = warm(guest, command)
            totals.append(sum(row["count"] or row["value"] for row in watch.maps["calls"]))
            rates.append(options.calls / first[0])
            return first

        totals, rates = [], []
        paired("@calls = count()", options.pairs, lambda: warm(guest, command), counted_plain, 10)
        Report.fact("    counted, at least", f"{min(totals)} of {2 * options.calls}", min(totals) >= 2 * options.calls)
        Report.figure("    events a second of processor time and vCPU", statistics.median(rates), "")
        paired("by number, when the process has a name", max(3, options.pairs // 2), lambda: warm(guest, command), counted, None)
        Report.fact("    lseek counted", f"{set(counts)} of {2 * options.calls}", set(counts) == {2 * options.calls})


def mix(options):
    """Process churn, file and socket work, compression, with execs, opens, connects and exits traced."""
    print("a realistic mix, with a script that traces execs, opens, connects and exits", flush=True)
    with Guest(options.kernel, extra=agent_options()) as guest:
        guest.run("ip link set lo up")
        work(guest, MIX)
        seen = []

        def traced():
            with Watch(PROBE, guest, TRACE) as watch:
                first = warm(guest, MIX)
            execs = len([row for row in watch.records if row["probe"] == 0])
            seen.append((execs, len(watch.records), watch.lost))
            return first

        paired("trace of the mix", options.pairs, lambda: warm(guest, MIX), traced, 5)
        # One shell, and in it 8 dd, 8 cat, 8 rm ... of busybox: at least 30 are executed in each of two runs.
        Report.fact("    records (execs, all, lost) of two runs", f"{seen[0]} ... {seen[-1]}", all(e >= 60 for e, _, _ in seen) and not any(lost for _, _, lost in seen))


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
        while rounds < options.rounds or int(guest.run("wc -l </tmp/calls")[1]) < enough:
            with Watch(PROBE, guest, scripts[rounds % len(scripts)]) as watch:
                time.sleep(random.uniform(0.05, 0.8))
            counted += sum((row["count"] or row["value"] or 0) for rows in watch.maps.values() for row in rows)
            rounds += 1
        guest.run("touch /tmp/stop; sleep 1; while pidof calls; do sleep 1; done")
        _, said = guest.run("cat /tmp/calls; md5sum /tmp/check")
        said = said.decode()
        loops = [line for line in said.splitlines() if line.startswith("pid ")]
        right = sum("calls 100000 failed 100000" in line for line in loops)
        Report.fact("    programs started and stopped", f"{rounds}, {counted} events counted", counted > 0)
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


PARTS = {"idle": idle, "counting": counting, "mix": mix, "peers": peers, "stability": stability, "killed": killed}


def main():
    global VITRINE, PROBE
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], choices=list(PARTS))
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--calls", type=int, default=500_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30, help="programs that come and go, at least")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--programs", type=Path, default=VITRINE.parent, help="where vitrine and agent_probe are")
    options = parser.parse_args()
    VITRINE, PROBE = options.programs / "vitrine", options.programs / "agent_probe"
    load = os.getloadavg()[0]
    print(f"Linux {options.kernel}, 256 MiB, TCG; {os.cpu_count()} host CPUs, load average {load:.1f}", flush=True)
    for name in options.only or PARTS:
        PARTS[name](options)
    for text in Report.wrong:
        print(f"wrong: {text}")
    return 1 if Report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
