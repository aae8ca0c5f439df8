"""Losing FVMs, guards and supervisors in every way, and what is noticed when."""

import contextlib
import os
import random
import signal
import statistics
import time
from pathlib import Path

from guard_lab import BareGuest, Lab, RULES, attacked, check, linux_guest, patch_memory, stop_process, text_of, until

PULSE = 0x1F0000000000  # src/fvm/sensor/pulse.h: kPulseAddress

LIMIT_MS = 150


def gaps(lab: Lab, name: str, times: int, how, settle: float = 0.12, ready=None) -> list[float]:
    """Loses the FVM of `name` again and again; from each deed to the next FVM that watches (as vitrined
    answers, asked every 3 ms). `settle`: seconds that each watches before: the
    supervisor takes a guest that loses more than ten FVMs a second for one under attack, and waits (RateLimit)."""
    measured = []
    for _ in range(times):
        lab.watched(name)
        lab.standby(120 if ready else 10)
        if ready:
            until(ready, 120)
        time.sleep(settle)
        row = lab.watched(name)
        begin = time.monotonic()
        begin = how(row) or begin  # when it was done, if that was not at once
        after = lab.watched(name, but=row["fvm"])
        took = (time.monotonic() - begin) * 1000
        check(after["takeovers"] == row["takeovers"] + 1, f"one takeover, not {after['takeovers'] - row['takeovers']}")
        measured.append(took)
    return measured


def said(name: str, measured: list[float], limit: int = LIMIT_MS) -> None:
    late = sum(gap > limit for gap in measured)
    print(f"{name:34} {len(measured):4} times: median {statistics.median(measured):6.1f} ms, "
          f"worst {max(measured):6.1f} ms, {late} over {limit} ms", flush=True)  # fmt: skip


def forge_text(row: dict) -> None:
    start, size = text_of(row["fvm_pid"])
    patch_memory(row["fvm_pid"], start + size - 4096, b"\xcc" * 16)


def forge_pulse(row: dict) -> None:
    patch_memory(row["fvm_pid"], PULSE + 8, (10**9).to_bytes(8, "little"))


def takeovers(programs: Path, times: int) -> None:
    """Each way to lose an FVM is noticed, and another one watches."""
    with Lab(programs) as lab:
        BareGuest(lab, "web1")
        ways = {
            "killed": lambda row: os.kill(row["fvm_pid"], signal.SIGKILL),
            "stopped (SIGSTOP)": lambda row: stop_process(row["fvm_pid"]),
            "text forged in its memory": forge_text,
            "heartbeat forged in its memory": forge_pulse,
            "asked for (failover)": lambda row: lab.ask("failover", "web1") and None,
        }
        for name, how in ways.items():
            said(name, gaps(lab, "web1", times, how))
        lab.verify("web1")
        entries = lab.evidence("web1")
        told = sum("took over" in (entry["words"] or "") for entry in entries)
        check(told == times * len(ways), f"{told} takeovers in the evidence, {times * len(ways)} happened")


@contextlib.contextmanager
def hog(cpu: int):
    """Somebody who leaves nobody else anything of that CPU."""
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {cpu})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        except OSError:
            os._exit(1)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass
        os._exit(0)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def starved(programs: Path, times: int) -> None:
    """Who gets no CPU is not dead, however long he is silent."""
    cpus = sorted(os.sched_getaffinity(0))
    with Lab(programs) as lab:
        BareGuest(lab, "web1")
        row = lab.watched("web1")
        time.sleep(1.2)
        for task in os.listdir(f"/proc/{row['fvm_pid']}/task"):
            os.sched_setaffinity(int(task), {cpus[-1]})
        with hog(cpus[-1]) as child:
            time.sleep(0.1)
            if len(cpus) < 2 or os.waitpid(child, os.WNOHANG)[0] or os.sched_getscheduler(child) != os.SCHED_FIFO:
                print("a busy host: skipped, nobody may be made to wait here")
                return
        for _ in range(times):
            with hog(cpus[-1]):
                time.sleep(0.4)
            time.sleep(0.2)
        now = until(lambda: (now := lab.guest("web1"))["kept_waiting_ms"] > 100 * times and now, 5)
        check(now["takeovers"] == 0, f"it was replaced:\n{lab.log.read_text()}{(lab.state / 'guards.log').read_text()}")
        print(f"no CPU for 0.4 s, {times} times: no FVM was lost; longest silence {now['longest_silence_ms']:.0f} ms, "
              f"{now['kept_waiting_ms']:.0f} ms of it kept waiting, so the kernel")  # fmt: skip
        said("then stopped (SIGSTOP)", gaps(lab, "web1", times, lambda row: stop_process(row["fvm_pid"])))


FOUND = """Symptom watched_process {
    severity: high
    technique: "T1036"
    text: "a process of this name runs"
    Every(100ms) { for (p in processes) if (p.name == "churn" || p.name == "sleep") { Report("%s (pid %d)", p.name, p.pid) } }
}
"""


def findings(programs: Path, times: int) -> None:
    """Takeovers while findings stand and come: none is lost, none is told twice."""
    with Lab(programs, FOUND, cpu_share=500) as lab:
        with linux_guest(lab) as guest:
            lab.watched("web1")
            until(lambda: lab.guest("web1")["passes"] > 0, 60)
            started, passes = 0, []
            for turn in range(times):
                row = lab.watched("web1")
                lab.standby()
                if turn % 4 == 0:
                    guest.run("sleep 100000 >/dev/null 2>&1 </dev/null &")
                    started += 1
                os.kill(row["fvm_pid"], signal.SIGKILL)
                begin = time.monotonic()
                lab.watched("web1", but=row["fvm"])
                until(lambda: (now := lab.guest("web1"))["fvm"] != row["fvm"] and now["passes"] > 0, 60)
                passes.append((time.monotonic() - begin) * 1000)
            until(lambda: lab.guest("web1")["standing"] >= started, 30)
            lab.stop()
            entries = lab.evidence("web1")
            found = [entry["key"] for entry in entries if entry["kind"] == "finding"]
            gone = [entry for entry in entries if entry["kind"] == "gone"]
            check(len(found) == started and len(set(found)) == started and not gone,
                  f"{started} processes, {len(found)} findings ({len(set(found))} different), {len(gone)} gone")  # fmt: skip
            lab.verify("web1")
    print(f"{times} takeovers, {started} findings, each told once; from the kill to the end of the next FVM's first pass: "
          f"median {statistics.median(passes):.0f} ms, worst {max(passes):.0f} ms (status is told once a second)")  # fmt: skip


def hangs(programs: Path, times: int) -> None:
    """An engine that hangs in the middle of a pass, or while it looks for the kernel."""
    with attacked(programs) as folder, Lab(folder, RULES, cpu_share=1000) as lab, linux_guest(lab):
        lab.watched("web1")
        until(lambda: lab.guest("web1")["passes"] > 0, 60)
        dice = random.Random(7)
        for name, number, settle in (("engine loops, in a pass", signal.SIGUSR1, 0.8), ("engine waits, in a pass", signal.SIGALRM, 0.8),
                                     ("verdicts silenced, in a pass", signal.SIGUSR2, 0.8)):  # fmt: skip
            def how(row, number=number):
                time.sleep(dice.random() * 0.3)
                os.kill(row["fvm_pid"], number)
                return time.monotonic()

            said(name, gaps(lab, "web1", times, how, settle=settle))


def deaths(programs: Path, times: int) -> None:
    """Guards and the supervisor, killed at random: the evidence stays whole and every guest is watched again."""
    dice = random.Random(5)
    with Lab(programs) as lab:
        BareGuest(lab, "web1")
        for turn in range(times):
            row = lab.watched("web1")
            time.sleep(dice.random() * 0.1)
            if dice.random() < 0.5:
                os.kill(row["guard_pid"], signal.SIGKILL)
                until(lambda: (now := lab.guest("web1")) and now["guard_pid"] != row["guard_pid"] and now["state"] == "watched", 20)
            else:
                lab.kill()
                until(lambda: not Path(f"/proc/{row['fvm_pid']}").exists(), 5)  # nothing outlives its supervisor
                lab.start()
        lab.watched("web1")
        lab.verify("web1")
    print(f"{times} deaths of guards and supervisors: watched again each time, evidence sound")
