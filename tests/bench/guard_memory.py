"""What FVMs cost on real Linux guests: memory while kernel text is found changed, and 40 of them at once."""

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest")]

import scan_test  # noqa: E402
from guard_footprint import private_kib, ticks  # noqa: E402
from guard_lab import RULES, Failure, Lab, until  # noqa: E402
from vitrine_guests import Guest  # noqa: E402


def changed_text(programs: Path, seconds: int) -> None:
    """The private memory of a process FVM while a module patches the kernel under it."""
    case = next(case for group in scan_test.GROUPS for case in group.cases if case.name == "text_body")
    with tempfile.TemporaryDirectory() as folder, Lab(programs, RULES) as lab:
        disk = f"-drive file={scan_test.image_of('6.1', folder)},format=raw,if=virtio,readonly=on"
        socket = f"-qmp unix:{lab.machines / 'web1.qmp'},server=on,wait=off"
        with Guest("6.1", backend="memfd", memory=256, extra=f"{disk} {socket}") as guest:
            guest.run("tar -xf /dev/vda -C /tmp && insmod /tmp/vitrine_fixture.ko")
            until(lambda: (row := lab.guest("web1")) and row["passes"] > 2, 120)
            pid = lab.watched("web1")["fvm_pid"]
            rest, most, found = private_kib(pid), 0, lab.guest("web1")["findings"]
            status, text = guest.run(case.show)
            if status != 0:
                raise Failure(f"{case.name} cannot be shown: {text!r}")
            end, asked = time.monotonic() + seconds, 0.0
            while time.monotonic() < end:
                with contextlib.suppress(OSError):  # replaced: told below
                    most = max(most, private_kib(pid))
                if time.monotonic() > asked + 0.5:
                    asked = time.monotonic()
                    if lab.guest("web1")["findings"] > found:
                        end = min(end, asked + 4)
                time.sleep(0.002)
            now = lab.guest("web1")
            if now["findings"] == found or now["fvm_pid"] != pid:
                raise Failure(f"changed text was not found by the same FVM: {now}\n{lab.log.read_text()[-1500:]}{(lab.state / 'guards.log').read_text()[-500:]}")
            guest.run(case.undo)
    print(f"private memory of a process FVM on Linux 6.1 (256 MiB): {rest / 1024:.1f} MiB between passes, "
          f"at most {most / 1024:.1f} MiB while kernel text is found changed")  # fmt: skip


def forty(programs: Path, count: int) -> None:
    """`count` FVMs at once, the whole pack, on few Linux guests: one guest answers to several names, each with an FVM of its own."""
    guests, memory, seconds = 2, 128, 60
    each = count // guests
    with Lab(programs, RULES) as lab:
        running = []
        try:
            for number in range(guests):
                sockets = " ".join(f"-qmp unix:{lab.folder}/g{number}-{i}.qmp,server=on,wait=off" for i in range(each))
                running.append(Guest("6.1", name=f"forty{number}-{os.getpid()}", backend="memfd", memory=memory, extra=sockets).boot())
            time.sleep(5)
            for number in range(guests):
                for i in range(each):  # one after the other: forty FVMs that attach at once are another question
                    os.rename(lab.folder / f"g{number}-{i}.qmp", lab.machines / f"g{number}-{i}.qmp")
                    until(lambda name=f"g{number}-{i}": (row := lab.guest(name)) and row["passes"] > 0, 300, 0.1)
            time.sleep(5)
            rows = lab.ask("status")["guests"]
            before, takeovers = {row["fvm_pid"]: ticks(row["fvm_pid"]) for row in rows}, sum(row["takeovers"] for row in rows)
            guards = {row["guard_pid"]: ticks(row["guard_pid"]) for row in rows}
            super_pid = lab.ask("status")["super_pid"]
            others = {lab.supervisor.pid: ticks(lab.supervisor.pid), super_pid: ticks(super_pid)}
            most = {pid: 0 for pid in before}
            begin = time.monotonic()
            while time.monotonic() - begin < seconds:
                for pid in most:
                    with contextlib.suppress(OSError):  # replaced: told below
                        most[pid] = max(most[pid], private_kib(pid))
                time.sleep(1)
            took = (time.monotonic() - begin) * os.sysconf("SC_CLK_TCK") / 100
            now = lab.ask("status")["guests"]
            if sum(row["takeovers"] for row in now) != takeovers or any(row["state"] != "watched" for row in now):
                raise Failure(f"FVMs were replaced meanwhile, at a load of {os.getloadavg()[0]:.0f}:\n"
                              + "".join(line for line in lab.log.read_text().splitlines(True) if "is lost" in line)[-2000:]
                              + (lab.state / "guards.log").read_text()[-1000:])  # fmt: skip
            shares = sorted((ticks(pid) - then) / took for pid, then in before.items())
            print(f"{len(rows)} process FVMs, whole pack, on {guests} idle Linux 6.1 of {memory} MiB, {seconds} s: private memory "
                  f"{sum(most.values()) / len(most) / 1024:.1f} MiB each, at most {max(most.values()) / 1024:.1f} MiB; CPU {shares[len(shares) // 2]:.2f} % "
                  f"of a core each, at most {shares[-1]:.2f} %, together {sum(shares):.0f} %; "
                  f"guards {sum(ticks(pid) - then for pid, then in guards.items()) / took:.0f} %, "
                  f"vitrined and the Super FVM {sum(ticks(pid) - then for pid, then in others.items()) / took:.0f} %; load {os.getloadavg()[0]:.0f}")  # fmt: skip
        finally:
            for guest in running:
                guest.close()
