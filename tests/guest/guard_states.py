"""Bad input, bad hosts, floods, and what a policy does: a clear word, a safe state."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from guard_lab import BareGuest, Lab, check, linux_guest, until
from guard_takeovers import gaps


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
        for words, status, told in ((("status",), 0, "web1 was detached"), (("status", "web9"), 1, "no guest web9 is watched"),
                                    (("failover", "web1"), 1, "vitrine fvm attach web1")):  # fmt: skip
            done = subprocess.run([programs / "vitrine", "fvm", *words, "--runtime", lab.runtime], capture_output=True, text=True)
            check(done.returncode == status and told in done.stderr, f"fvm {words}: {done}")
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
    lab = Lab(programs, isolation="microvm", image="/nonexistent/image")
    try:
        for words in ((), ("--check",)):
            done = subprocess.run([programs / "vitrined", "--config", lab.config, *words], capture_output=True, text=True, timeout=20)
            check(done.returncode == 1 and "guests/guest fvm-image" in done.stderr, f"no image: {done}")
        lab.config.write_text(lab.config.read_text().replace('"microvm"', '"auto"'))
        (lab.rules / "wrong.yar").write_text('rule wrong { strings: $a = "abc" condition: $b }\n')
        done = subprocess.run([programs / "vitrined", "--config", lab.config, "--check"], capture_output=True, text=True, timeout=20)
        check(done.returncode == 0 and 'undefined string "$b"' in done.stderr, f"a wrong pattern: {done}")
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


FLOOD = """Symptom number {
    severity: high
    text: "as many as there are"
    Every(100ms) { for (n in 0..3000) Report("number %d", n) }
}
"""
ENDLESS = """Symptom endless {
    severity: high
    text: "never told"
    Every(100ms) { for (a in 0..4000000000) { for (b in 0..4000000000) { @x = a } } Report("never") }
}
"""


def flood(programs: Path) -> None:
    """More findings than anybody reads, rules that never end, rules with mistakes: limited, counted and told, and the guest stays watched."""
    lab = Lab(programs, FLOOD + ENDLESS, cpu_share=500)
    (lab.rules / "wrong.vmi").write_text('Symptom wrong { severity: high text: "t" Every(1s) { for (p in proceses) Report("a") } }\n')
    (lab.rules / "wrong.yar").write_text('rule wrong { strings: $a = "abc" condition: $b }\n')
    with lab, linux_guest(lab):
        lab.watched("web1")
        row = until(lambda: (row := lab.guest("web1"))["refused"] > 0 and row["passes"] > 1 and row, 90)
        time.sleep(2)
        entries = lab.evidence("web1")
        found = [entry["key"] for entry in entries if entry["kind"] == "finding"]
        check(0 < len(found) <= 1500 and len(found) == len(set(found)), f"{len(found)} findings, {len(set(found))} different")
        check(any(entry["kind"] == "loss" for entry in entries), "what was too much is counted")
        notes = [entry["words"] or "" for entry in entries if entry["subject"] == "note"]
        for words in ("endless: over its budget", "there is no view called proceses", 'wrong.yar:1: undefined string "$b"'):
            check(any(words in note for note in notes), f"not told: {words}: {notes}")
        check("never" not in {entry["words"] for entry in entries}, "what comes after a loop without end")
        now = lab.guest("web1")
        check(now["state"] == "watched" and now["takeovers"] == 0, f"the flood, or rules without end, cost an FVM:\n{lab.log.read_text()}{(lab.state / 'guards.log').read_text()}")
        lab.verify("web1")
    print(f"3,000 findings at once, rules without end and with mistakes: {len(found)} written, the rest counted and told; watched all the while")


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
        # A guard that dies while the guest stands leaves it neither so for ever, nor free.
        row = lab.guest("web1")
        until(lambda: not running(), 5)
        os.kill(row["guard_pid"], signal.SIGKILL)
        lab.watched("web1", but=row["fvm"])
        until(lambda: lab.guest("web1")["applied"] == "throttled", 5)
        seen = []
        for _ in range(150):
            seen.append(running())
            time.sleep(0.011)
        again = 100 * sum(seen) / len(seen)
        check(8 <= again <= 40, f"after its guard's death: ran {again:.0f} % of the time")
        lab.stop()
        check(running(), "its guard left it stopped")
        lab.start()
        lab.watched("web1")
        until(lambda: not running(), 5)
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
