"""Guards, FVMs and their supervisor, with everything that may befall them. Exit status 77: skipped."""

import argparse
import contextlib
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from guard_lab import BareGuest, Failure, Lab, patch_memory, stop_process, text_of, until

PULSE = 0x1F0000000000  # src/fvm/sensor/pulse.h: kPulseAddress
LIMIT_MS = 150
RULES = Path(__file__).resolve().parents[2] / "rules"


def check(true: bool, words: str) -> None:
    if not true:
        raise Failure(words)


def be_punctual() -> None:
    """Whoever measures must not wait for a CPU himself: as the watchers, a session of its own, before others."""
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
        if os.getsid(0) == os.getpid():
            Path("/proc/self/autogroup").write_text("-15")


def gaps(lab: Lab, name: str, times: int, how, settle: float = 0.0, ready=None) -> list[float]:
    """Loses the FVM of `name` again and again; from each deed to the next FVM that watches (as vitrined
    answers, asked every 3 ms). `settle`: seconds that each watches before."""
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


def build_image(folder: Path, sensor: Path, rules: Path | None = None) -> Path:
    tool = Path(__file__).resolve().parents[2] / "guests" / "guest"
    words = [tool, "fvm-image", folder, "--sensor", sensor, *(("--rules", rules) if rules else ())]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return folder


def microvm(programs: Path, times: int) -> None:
    """The same FVM as a virtual machine: its image is measured, the Super FVM looks into it, its takeover is timed."""
    with tempfile.TemporaryDirectory(prefix="vitrine-image-") as name:
        folder = Path(name)
        image = build_image(folder / "image", programs / "vitrine-fvm", RULES)
        build_image(folder / "again", programs / "vitrine-fvm", RULES)
        for name in ("vmlinuz", "initrd.img", "measure.txt"):
            check((image / name).read_bytes() == (folder / "again" / name).read_bytes(), f"{name}: not the same bytes twice")
        with Lab(programs, RULES, isolation="microvm", image=str(image)) as lab:
            guest = BareGuest(lab, "web1", memory=24)
            BareGuest(lab, "alone", shared=False)
            begin = time.monotonic()
            row = lab.watched("web1", seconds=120)
            print(f"from the start of vitrined to a microVM that watches: {time.monotonic() - begin:.1f} s")
            until(lambda: "cannot be shown to a microVM" in lab.guest("alone")["trouble"], 20)
            check('isolation = "process"' in lab.log.read_text(), "process is offered")
            before = ram_of(guest)
            ways = {
                "killed": lambda row: os.kill(row["fvm_pid"], signal.SIGKILL),
                "stopped (SIGSTOP)": lambda row: stop_process(row["fvm_pid"]),
                "engine's text forged in its RAM": lambda row: forge_microvm_text(row, image),
                "heartbeat forged in its RAM": forge_microvm_pulse,
            }
            for name, how in ways.items():
                said(name, gaps(lab, "web1", times, how, settle=1.5, ready=lambda: is_up(lab)), 1000)
            check(ram_of(guest) == before, "the guest's RAM was written")
            row = lab.watched("web1")
            super_pid = lab.ask("status")["super_pid"]
            print(f"private memory of its QEMU {_private_kib(row['fvm_pid']) / 1024:.0f} MiB, of its RAM {microvm_pages(row['fvm_pid'])} MiB; "
                  f"of the Super FVM that looks into two of them {_private_kib(super_pid) / 1024:.0f} MiB")  # fmt: skip
            lab.verify("web1")

        # An engine that hangs a second after it got its guest, and a heart that beats on.
        hangs = build_image(folder / "hangs", programs / "fvm_attacker")
        with Lab(programs, isolation="microvm", image=str(hangs)) as lab:
            BareGuest(lab, "web1", memory=24)
            measured = []
            for _ in range(times):
                row = lab.watched("web1", seconds=120)
                last = progress_end(row["fvm_pid"])
                after = lab.watched("web1", but=row["fvm"], seconds=120)
                if after["last_gap_ms"] < 2000:  # else no standby was up, which is the pool's time
                    measured.append((time.monotonic() - last) * 1000)
                until(lambda: is_up(lab), 120)
            said("engine loops, heart beats", measured, 1000)

        # The choice left to vitrined: by what the guest's RAM is, and said so.
        with Lab(programs, isolation="auto", image=str(image)) as lab:
            BareGuest(lab, "shared", memory=24)
            BareGuest(lab, "alone", shared=False)
            for name, kind in (("shared", "microvm"), ("alone", "process")):
                check(lab.watched(name, seconds=120)["isolation"] == kind, f"{name}: {lab.guest(name)}")
            for words in ("shared: by a microVM: its RAM is shared", "alone: by a process: its RAM lies in its QEMU alone"):
                check(words in lab.log.read_text(), lab.log.read_text())
        with Lab(programs, isolation="auto", image=str(folder / "none")) as lab:
            BareGuest(lab, "shared", memory=24)
            check(lab.watched("shared")["isolation"] == "process", "no image: a process")

        (image / "initrd.img").write_bytes((image / "initrd.img").read_bytes() + b"\0")
        lab = Lab(programs, isolation="microvm", image=str(image))
        done = subprocess.run([programs / "vitrined", "--config", lab.config], capture_output=True, text=True, timeout=60)
        lab.__exit__()
        check(done.returncode == 1 and "is not what was measured" in done.stderr, done.stderr)


def is_up(lab: Lab) -> bool:
    """A standby microVM beats."""
    status = lab.ask("status")
    return len(status["standby_up"]) >= status["standby_wanted"]


def linux_guest(lab: Lab, **options):
    """A guest with a kernel, watched by `lab` as web1."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "guests"))
    from vitrine_guests import Guest

    return Guest("6.1", backend="memfd", extra=f"-qmp unix:{lab.machines / 'web1.qmp'},server=on,wait=off", **options)


ACTION = """Symptom wanted {{
    severity: high
    text: "a process of this name runs"
    Every(100ms) {{ for (p in processes) if (p.name == "sleep") {{ Report("%s (pid %d)", p.name, p.pid) }} }}
}}
"""


def actions(programs: Path, times: int) -> None:
    """What a policy asks for is done to the guest, as its own monitor tells; a dry run does nothing."""
    del times
    with Lab(programs, ACTION.format(), cpu_share=500, policy="policy.toml") as lab, linux_guest(lab) as guest:
        lab.watched("web1")
        until(lambda: lab.guest("web1")["kernel"], 60)

        def provoke(policy: str) -> list[dict]:
            """The evidence that a finding adds under this policy."""
            lab.stop()
            (lab.folder / "policy.toml").write_text(policy)
            lab.start()
            before = len(lab.evidence("web1"))
            until(lambda: (row := lab.guest("web1")) and row["kernel"] and row["passes"] > 1, 60)
            guest.run("sleep 100000 >/dev/null 2>&1 </dev/null & echo $! > /tmp/pid")
            until(lambda: any(entry["kind"] == "finding" for entry in lab.evidence("web1")[before:]), 30)
            until(lambda: any(entry["kind"] == "action" for entry in lab.evidence("web1")[before:]), 10)
            return lab.evidence("web1")[before:]

        def running() -> bool:
            return guest.qmp("query-status")["status"] == "running"

        def calm() -> None:
            """The symptom ends, so that the next is a new finding."""
            lab.stop()
            if not running():
                guest.qmp("cont")
            guest.run("kill -9 $(cat /tmp/pid)")

        def done(entries: list[dict], name: str) -> str:
            return next(entry["words"] for entry in entries if entry["kind"] == "action" and entry["subject"] == name)

        words = done(provoke('dry_run = true\n[severity]\nhigh = ["freeze", "isolate", "throttle", "snapshot", "stop"]\n'), "freeze")
        check("dry run" in words and running(), f"a dry run: {words}")
        check(lab.guest("web1")["applied"] == "", "a dry run applied something")
        calm()

        words = done(provoke('dry_run = false\n[severity]\nhigh = ["freeze"]\n'), "freeze")
        check("frozen" in words and not running(), f"freeze: {words}")
        until(lambda: lab.guest("web1")["applied"] == "frozen", 5)
        calm()

        words = done(provoke('dry_run = false\n[severity]\nhigh = ["throttle"]\n[throttle]\npercent = 20\n'), "throttle")
        seen = []
        for _ in range(150):
            seen.append(running())
            time.sleep(0.011)
        share = 100 * sum(seen) / len(seen)
        check("throttled" in words and 8 <= share <= 40, f"throttle to 20 %: ran {share:.0f} % of the time")
        calm()

        entries = provoke('dry_run = false\n[severity]\nhigh = ["isolate", "snapshot"]\n')
        words = done(entries, "isolate")
        check("isolated" in words, f"isolate: {words}")
        folder = lab.state / "evidence" / "web1" / "snapshots"
        until(lambda: any("is complete" in (entry["words"] or "") for entry in lab.evidence("web1")), 60)
        (image,) = folder.iterdir()
        shown = subprocess.run([programs / "vitrine", "ps", image, "--no-cache"], capture_output=True, text=True)
        check("sleep" in shown.stdout, f"the snapshot shows no process of that name: {shown.stderr}")
        calm()

        words = done(provoke('dry_run = false\n[symptom.wanted]\nactions = ["stop"]\n'), "stop")
        until(lambda: lab.guest("web1") is None, 20)
        check("stopped" in words, f"stop: {words}")
        lab.verify("web1")
    print(f"dry run, freeze, throttle (20 %: ran {share:.0f} %), isolate, snapshot, stop: done, told, and no more than that")


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


@contextlib.contextmanager
def attacked(programs: Path):
    """A folder of programs whose FVM has a traitor in it (fvm_attacker.cpp)."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vitrined", "vitrine-guard", "vitrine"):
            os.symlink(programs.resolve() / name, Path(folder) / name)
        os.symlink(programs.resolve() / "fvm_attacker", Path(folder) / "vitrine-fvm")
        yield Path(folder)


def whole_pack(programs: Path, seconds: int) -> None:
    """A process FVM with the whole pack on a Linux guest: its memory and its CPU."""
    with Lab(programs, RULES) as lab, linux_guest(lab):
        fvm, first = lab.watched("web1")["fvm_pid"], 0
        while (row := lab.guest("web1"))["passes"] < 2:  # all text is judged in the first, as when it changed
            first = max(first, _private_kib(fvm))
            check(row["fvm_pid"] == fvm, f"it was replaced:\n{lab.log.read_text()}")
            time.sleep(0.005)
        most, before = 0, _ticks(row["fvm_pid"])
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            most = max(most, _private_kib(row["fvm_pid"]))
            time.sleep(0.02)
        share = (_ticks(row["fvm_pid"]) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begin) * 100
        now, guard = _private_kib(row["fvm_pid"]), _private_kib(row["guard_pid"])
        print(f"whole pack on Linux 6.1, idle, {seconds} s: private memory {now / 1024:.1f} MiB, at most {most / 1024:.1f} MiB during passes "
              f"and {first / 1024:.1f} MiB until the end of the first; "
              f"CPU {share:.2f} % of a core; a pass {lab.guest('web1')['pass_ms']:.0f} ms; its guard {guard / 1024:.1f} MiB")  # fmt: skip
        check(lab.guest("web1")["takeovers"] == 0, f"it was replaced:\n{lab.log.read_text()}{(lab.state / 'guards.log').read_text()}")
        strange = {entry["subject"] for entry in lab.evidence("web1") if entry["kind"] == "finding"} & {"kernel_text_patched", "hidden_module"}
        check(not strange, f"a guest that boots is no attack: {strange}")
        check(now <= 16 * 1024, "16 MiB")


def microvm_pages(pid: int) -> int:
    for entry in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{entry}"
        if "vitrine-fvm-ram" in os.readlink(path):
            return os.stat(path).st_blocks // 2048
    return 0


def progress_end(pid: int, seconds: float = 30) -> float:
    """When the engine of a microVM made its last step, by the pulse in its RAM."""
    with microvm_ram(pid) as ram:
        pages = [place for place in everywhere(ram, b"VRTPULSE") if place % 4096 == 0]
        page = max(pages, key=lambda place: int.from_bytes(ram[place + 8 : place + 16], "little"))
        step, last, end = -1, time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < end:
            now = int.from_bytes(ram[page + 16 : page + 24], "little")
            if now != step:
                step, last = now, time.monotonic()
            elif time.monotonic() - last > 0.2:
                return last
            time.sleep(0.005)
    raise Failure("its engine did not hang")


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


def states(programs: Path) -> None:
    """Bad input and bad hosts: a clear word, a safe state."""
    with Lab(programs, standby=0) as lab:
        BareGuest(lab, "web1")
        row = lab.watched("web1")
        os.kill(row["fvm_pid"], signal.SIGKILL)
        lab.watched("web1", but=row["fvm"])
        check(lab.ask("status")["standby"] == [], "no pool was asked for")
        second = subprocess.run([programs / "vitrined", "--config", lab.config], capture_output=True, text=True, timeout=20)
        check(second.returncode == 1 and f"another vitrined (pid {lab.supervisor.pid})" in second.stderr, second.stderr)

        lab.ask("detach", "web1")
        time.sleep(0.5)
        check(lab.guest("web1") is None, "a detached guest is let be")
        lab.ask("attach", "web1")
        lab.watched("web1")
        lab.ask("drain")
        time.sleep(0.5)
        check(lab.ask("status")["guests"] == [], "drained")
        lab.ask("attach")
        lab.watched("web1")
        check("error" in lab.ask("failover", "web9"), "there is no web9")

        # RAM that only its QEMU has: read through that process.
        BareGuest(lab, "alone", shared=False)
        check("in its QEMU alone" in lab.watched("alone")["ram"], "its RAM is not shared")

        # A guest that goes in the middle of a takeover.
        for turn in range(5):
            guest = BareGuest(lab, f"brief{turn}")
            row = lab.watched(guest.name)
            os.kill(row["fvm_pid"], signal.SIGKILL)
            guest.end()
            until(lambda: lab.guest(guest.name) is None, 10)
        lab.watched("web1")
        lab.verify("web1")
    for line, words in (("policy = \"none.toml\"", "none.toml cannot be read"), ("standbye = 1", "did you mean \"standby\"?"),
                        ("libvirt = \"xen:///\"", "libvirt is \"qemu:///system\""),
                        ("isolation = \"tank\"", "there is no isolation \"tank\"")):  # fmt: skip
        lab = Lab(programs)
        try:
            lab.config.write_text(lab.config.read_text() + line + "\n")
            done = subprocess.run([programs / "vitrined", "--config", lab.config, "--check"], capture_output=True, text=True)
            check(done.returncode == 1 and words in done.stderr and ":6:" in done.stderr, done.stderr)
        finally:
            lab.__exit__()
    lab = Lab(programs, policy="policy.toml")
    try:
        (lab.folder / "policy.toml").write_text('dry_run = false\n[severity]\ncritcal = ["frezze"]\n')
        done = subprocess.run([programs / "vitrined", "--config", lab.config], capture_output=True, text=True, timeout=20)
        check(done.returncode == os.EX_CONFIG and ":3:" in done.stderr and 'did you mean "critical"' in done.stderr, done.stderr)
        check("nothing was started" in done.stderr, done.stderr)
    finally:
        lab.__exit__()
    full_disk(programs)
    print("two supervisors, no pool, detach, drain, unshared RAM, vanishing guests, wrong configurations and policies: told, and safe")


FLOOD = """Symptom number {
    severity: high
    text: "as many as there are"
    Every(100ms) { for (n in 0..3000) Report("number %d", n) }
}
"""


def flood(programs: Path) -> None:
    """More findings than anybody reads: limited and counted, and the guest stays watched."""
    with Lab(programs, FLOOD, cpu_share=500) as lab, linux_guest(lab):
        lab.watched("web1")
        row = until(lambda: (row := lab.guest("web1"))["refused"] > 0 and row["passes"] > 1 and row, 90)
        time.sleep(2)
        entries = lab.evidence("web1")
        found = [entry["key"] for entry in entries if entry["kind"] == "finding"]
        check(0 < len(found) <= 1500 and len(found) == len(set(found)), f"{len(found)} findings, {len(set(found))} different")
        check(any(entry["kind"] == "loss" for entry in entries), "what was too much is counted")
        now = lab.guest("web1")
        check(now["state"] == "watched" and now["takeovers"] == row["takeovers"], "the flood cost an FVM")
        lab.verify("web1")
    print(f"3,000 findings at once: {len(found)} written, the rest counted; watched all the while")


def full_disk(programs: Path) -> None:
    """No room for evidence: entries wait, and are written when there is room. (Root alone: it mounts a small disk.)"""
    lab = Lab(programs)
    lab.state.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "vitrine-test", lab.state]).returncode != 0:
        lab.__exit__()
        print("a full disk: skipped, a file system cannot be mounted here")
        return
    try:
        with lab:
            BareGuest(lab, "web1")
            lab.watched("web1")
            filler = lab.state / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
            times = 40
            gaps(lab, "web1", times, lambda row: lab.ask("failover", "web1") and None)
            until(lambda: lab.guest("web1")["waiting"] > 0, 5)
            check(lab.guest("web1")["state"] == "watched", "a full disk leaves the guest unwatched")
            filler.unlink()
            until(lambda: lab.guest("web1")["waiting"] == 0, 10)
            told = sum("took over" in (entry["words"] or "") for entry in lab.evidence("web1"))
            check(told == times, f"{told} of {times} takeovers were written in the end")
            lab.verify("web1")
        print(f"a full disk: watched all the while; {times} entries waited and were written when there was room")
    finally:
        subprocess.run(["umount", lab.state], check=False)
        shutil.rmtree(lab.folder, ignore_errors=True)


def isolation(programs: Path) -> None:
    """What a guard and an FVM have: their own users and namespaces, no files, no way to more."""
    with Lab(programs) as lab:
        BareGuest(lab, "web1")
        row = lab.watched("web1")
        status = lab.ask("status")
        own = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup")}
        users = set()
        for pid in (row["fvm_pid"], row["guard_pid"], status["super_pid"], *status["standby"]):
            def settled(pid=pid):  # one that is just being started has no filter yet, and no guest either
                fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
                return fields if fields["Seccomp"].strip() == "2" else None

            with contextlib.suppress(Failure):
                until(settled, 5)
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            check(fields["Seccomp"].strip() == "2", f"{pid}: no seccomp filter")
            check(fields["NoNewPrivs"].strip() == "1", f"{pid}: may gain privileges")
            check(int(fields["CapEff"], 16) == 0 and int(fields["CapPrm"], 16) == 0, f"{pid}: has capabilities")
            check(int(fields["CapBnd"], 16) == 0 or os.readlink(f"/proc/{pid}/ns/user") != own["user"], f"{pid}: bounding set")
            users.add(fields["Uid"].split()[0])
            for name, ours in own.items():
                check(os.readlink(f"/proc/{pid}/ns/{name}") != ours, f"{pid}: shares our {name} namespace")
            root = sorted(os.listdir(f"/proc/{pid}/root/"))
            check(root == (["evidence"] if pid == row["guard_pid"] else []), f"{pid}: its root has {root}")
        if os.geteuid() == 0:
            check(len(users) == 3 + len(status["standby"]), f"users are shared: {users}")
        # Descriptors: nothing but what it was given; guest RAM for reading alone.
        for entry in os.listdir(f"/proc/{row['fvm_pid']}/fd"):
            if int(entry) < 3:
                continue
            target = os.readlink(f"/proc/{row['fvm_pid']}/fd/{entry}")
            flags = int(Path(f"/proc/{row['fvm_pid']}/fdinfo/{entry}").read_text().split("flags:")[1].split()[0], 8)
            check(target.startswith("socket:") or flags & 3 == os.O_RDONLY, f"the FVM may write to {target}")
        for line in Path(f"/proc/{row['fvm_pid']}/maps").read_text().splitlines():
            rights = line.split()[1]
            check(not ("w" in rights and "s" in rights), f"the FVM shares writable memory: {line}")
            check(not ("w" in rights and "x" in rights), f"memory both writable and executable: {line}")
    print("own users, namespaces, empty roots, no capabilities, seccomp; guest RAM read-only; nothing shared is writable")


def attacker(programs: Path, times: int) -> None:
    """An FVM with a traitor in it (fvm_attacker.cpp): what it does is noticed, what it wants it does not get."""
    with attacked(programs) as folder:
        with Lab(folder) as lab:
            guest = BareGuest(lab, "web1")
            other = BareGuest(lab, "web2")
            lab.watched("web2")
            # FVMs that are too slow as soon as they watch get more time: each watches for a while first.
            ways = {"engine loops, heart beats": signal.SIGUSR1, "engine waits, heart beats": signal.SIGALRM,
                    "verdicts silenced": signal.SIGUSR2, "noise": signal.SIGWINCH,
                    "flood": signal.SIGURG, "a forbidden system call": signal.SIGIO}  # fmt: skip
            for name, number in ways.items():
                def how(row, number=number):
                    os.kill(row["fvm_pid"], number)
                said(name, gaps(lab, "web1", times, how, settle=0.6))
            row = lab.watched("web1")
            before = ram_of(guest)
            os.kill(row["fvm_pid"], signal.SIGCONT)
            time.sleep(0.3)
            check(ram_of(guest) == before, "the guest's RAM was written")
            lab.watched("web1")
            escapes = [line for line in (lab.state / "fvms.log").read_text().splitlines() if line.startswith("ESCAPED")]
            check(not escapes, "\n".join(escapes))
            check("tried the box" in (lab.state / "fvms.log").read_text(), "the attacker did not try")
            check(lab.guest("web2")["takeovers"] == 0 and other.process.poll() is None, "the other guest felt it")
            lab.verify("web1")
    print("nothing escaped; guest RAM unchanged; the other guest's watch undisturbed")


@contextlib.contextmanager
def microvm_ram(pid: int):
    """The RAM of a microVM FVM, for writing: as a flaw in its QEMU, or a guest's way out into it, would have it."""
    for entry in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{entry}"
        if "vitrine-fvm-ram" in os.readlink(path):
            with open(path, "r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as ram:
                yield ram
            return
    raise Failure("the microVM's RAM was not found")


def everywhere(ram: mmap.mmap, wanted: bytes) -> list[int]:
    places, at = [], ram.find(wanted)
    while at >= 0:
        places.append(at)
        at = ram.find(wanted, at + 1)
    return places


def forge_microvm_text(row: dict, image: Path) -> None:
    """Its engine's first function, which has run and does not run again; wherever it lies."""
    program = (image / "initrd.img").read_bytes()
    program = program[program.index(b"\x7fELF\x02\x01\x01") :]
    entry, segments = int.from_bytes(program[24:32], "little"), int.from_bytes(program[32:40], "little")
    for number in range(int.from_bytes(program[56:58], "little")):
        at = segments + 56 * number
        kind, flags, offset, address = struct.unpack_from("<IIQQ", program, at)
        if kind == 1 and flags & 1:
            code = program[offset + entry - address :][:32]
    with microvm_ram(row["fvm_pid"]) as ram:
        places = everywhere(ram, code)
        check(places, "its text was not found in its RAM")
        for place in places:
            ram[place : place + 4] = b"\xcc" * 4


def forge_microvm_pulse(row: dict) -> None:
    with microvm_ram(row["fvm_pid"]) as ram:
        for place in everywhere(ram, b"VRTPULSE"):
            if place % 4096 == 0:
                ram[place + 8 : place + 16] = (10**9).to_bytes(8, "little")


def ram_of(guest: BareGuest) -> bytes:
    for entry in os.listdir(f"/proc/{guest.pid}/fd"):
        path = f"/proc/{guest.pid}/fd/{entry}"
        if "memory-backend-memfd" in os.readlink(path):
            with open(path, "rb") as ram:
                return ram.read()
    raise Failure("the guest's RAM was not found")


def footprint(programs: Path, count: int) -> None:
    """Many FVMs at once, on idle guests."""
    with Lab(programs) as lab:
        for number in range(count):
            BareGuest(lab, f"g{number}", memory=4)
        rows = [lab.watched(f"g{number}", seconds=60) for number in range(count)]
        before = {row["fvm_pid"]: _ticks(row["fvm_pid"]) for row in rows}
        time.sleep(10)
        shares = [(_ticks(pid) - then) / os.sysconf("SC_CLK_TCK") / 10 * 100 for pid, then in before.items()]
        private = [_private_kib(pid) / 1024 for pid in before]
        print(f"{count} FVMs at once (no kernel in their guests): private memory at most {max(private):.1f} MiB, "
              f"CPU at most {max(shares):.2f} %, together {sum(shares):.1f} % of a core")  # fmt: skip
        check(max(private) <= 16, "16 MiB")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _private_kib(pid: int) -> int:
    """Its own memory. A guest's RAM that it maps is not: that is the guest's, whoever else maps it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def lifecycle(programs: Path, count: int) -> None:
    """Guests come, reboot and go, and nothing of them stays."""

    def family(pid: int) -> list[int]:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [pid] + [one for child in children for one in family(child)]

    def counts(lab: Lab) -> dict[str, int]:
        pid = lab.supervisor.pid
        descriptors = [os.readlink(f"/proc/{pid}/fd/{entry}") for entry in os.listdir(f"/proc/{pid}/fd")]
        return {"descriptors": len(descriptors), "of them shared memory": sum("memfd:" in name for name in descriptors),
                "processes": len(family(pid)), "files in /dev/shm": len(os.listdir("/dev/shm")),
                "KiB private": _private_kib(pid)}  # fmt: skip

    with Lab(programs) as lab:
        waits = []

        def one(name: str) -> None:
            guest = BareGuest(lab, name, memory=4)
            begin = time.monotonic()
            row = lab.watched(guest.name, seconds=60)
            waits.append((time.monotonic() - begin) * 1000)
            guest.qmp("system_reset")
            again = lab.watched(guest.name)
            check(again["takeovers"] == row["takeovers"] or again["state"] == "watched", "a reboot leaves it unwatched")
            guest.end()
            lab.guests.remove(guest)
            until(lambda: lab.guest(guest.name) is None, 10)

        for warm in range(3):
            one(f"warm{warm}")
        lab.standby()
        time.sleep(1)
        before = counts(lab)
        waits.clear()
        for turn in range(count):
            one(f"g{turn % 7}")
        lab.standby()
        time.sleep(1)
        after = counts(lab)
        unwatched = lab.log.read_text().count("UNWATCHED")
        print(f"{count} guests came, rebooted and went; from a QEMU's start to its watcher: median {statistics.median(waits):.0f} ms, "
              f"worst {max(waits):.0f} ms; none stayed unwatched")  # fmt: skip
        print("of vitrined before and after: " + ", ".join(f"{what} {before[what]} and {after[what]}" for what in before))
        check(unwatched == 0 and all(after[what] <= before[what] for what in before if what != "KiB private"), "something stays")
        check(after["KiB private"] <= before["KiB private"] + 1024, "memory stays")


GROUPS = {
    "Takeovers": lambda a: takeovers(a.programs, a.times or 5),
    "Deaths": lambda a: deaths(a.programs, a.times or 10),
    "States": lambda a: states(a.programs),
    "Isolation": lambda a: isolation(a.programs),
    "Findings": lambda a: findings(a.programs, a.times or 6),
    "Microvm": lambda a: microvm(a.programs, a.times or 2),
    "Attacker": lambda a: attacker(a.programs, a.times or 3),
    "Footprint": lambda a: footprint(a.programs, a.times or 8),
    "Actions": lambda a: actions(a.programs, a.times),
    "Flood": lambda a: flood(a.programs),
    "Hangs": lambda a: hangs(a.programs, a.times or 3),
    "Pack": lambda a: whole_pack(a.programs, a.times or 6),
    "Lifecycle": lambda a: lifecycle(a.programs, a.times or 12),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=Path)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--times", type=int, default=0)
    arguments = parser.parse_args()
    be_punctual()
    try:
        GROUPS[arguments.group](arguments)
    except Failure as failure:
        print(f"{arguments.group}: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
