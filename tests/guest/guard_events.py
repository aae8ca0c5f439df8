"""Looked at when something happens: the agent says so, a guard passes it on, an FVM looks out of its turn."""

import contextlib
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest")]

import scan_test  # noqa: E402
from guard_lab import RULES, Lab, check, until  # noqa: E402


def found_ns(lab: Lab, symptom: str) -> list[int]:
    """When each finding of that symptom was written down."""
    with contextlib.closing(sqlite3.connect(f"file:{lab.state}/evidence/web1/evidence.db?mode=ro", uri=True)) as base:
        return [row[0] for row in base.execute("SELECT wall_ns FROM entries WHERE kind = 1 AND subject = ? ORDER BY sequence", (symptom,))]


def once(lab: Lab, guest, seconds: float) -> float:
    """Shows a program in a memfd; the time until it is in the evidence."""
    before = len(found_ns(lab, "executable_memfd"))
    begin = time.time_ns()
    status, text = guest.run(scan_test.shown("memfd", "memfd"))
    check(b"shown" in text, f"the fixture: {text!r} ({status})")
    found = until(lambda: found_ns(lab, "executable_memfd")[before:], seconds, 0.05)
    guest.run(scan_test.UNDO.format("memfd", "memfd"))
    return (found[0] - begin) / 1e9


def events(programs: Path, times: int) -> None:
    from vitrine_guests import Guest

    with tempfile.TemporaryDirectory() as folder, Lab(programs, RULES, events=True) as lab:
        agent = f"-plugin {programs.resolve() / 'vitrine-agent.so'},dir={folder}/agent"
        Path(folder, "agent").mkdir(mode=0o700)
        disk = f"-drive file={scan_test.image_of('6.1', folder)},format=raw,if=virtio,readonly=on"
        socket = f"-qmp unix:{lab.machines / 'web1.qmp'},server=on,wait=off"
        with Guest("6.1", backend="memfd", memory=256, extra=f"{agent} {disk} {socket}") as guest:
            guest.run("tar -xf /dev/vda -C /tmp")
            until(lambda: (row := lab.guest("web1")) and row["passes"] > 1, 120)
            until(lambda: lab.guest("web1")["events"] == "heard", 30)

            def hears():
                before = lab.guest("web1")["passes"]
                guest.run("/bin/busybox true")
                time.sleep(1.5)  # its status comes once a second
                return lab.guest("web1")["passes"] > before + 1

            until(hears, 60)
            taken = []
            for _ in range(times):
                time.sleep(3)
                taken.append(once(lab, guest, 30))
            print(f"a program that is executed from a memfd, until it is in the evidence, {times} times: "
                  f"median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s", flush=True)  # fmt: skip

            # A guest that makes things happen without end costs no more than its share, and loses no watcher.
            row = lab.guest("web1")
            guest.run("(i=0; while [ $i -lt 2000 ]; do /bin/busybox true; i=$((i+1)); done) > /dev/null 2>&1 < /dev/null &")
            begin, cpu = time.monotonic(), row["cpu_ms"]
            time.sleep(8)
            row = lab.guest("web1")
            share = (row["cpu_ms"] - cpu) / (time.monotonic() - begin) / 10
            print(f"while programs are executed without end: {share:.1f} % of a core, {row['takeovers']} takeovers", flush=True)
            check(row["takeovers"] == 0, f"it was replaced:\n{lab.log.read_text()}")
            check(share < 16, "looks out of turn take 5 % of a core in the long run")  # and half a second at once
            check(statistics.median(taken) < 4, "that is no sooner than in turn")
