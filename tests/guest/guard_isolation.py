"""What a guard and an FVM have, and what a fallen FVM reaches: nothing."""

import contextlib
import os
import signal
import time
from pathlib import Path

from guard_lab import BareGuest, Failure, Lab, attacked, check, until
from guard_takeovers import gaps, said


def isolation(programs: Path) -> None:
    """What a guard and an FVM have: their own users and namespaces, no files, no way to more."""
    with Lab(programs) as lab:
        guest = BareGuest(lab, "web1")
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
            check(os.geteuid() != 0 or not fields["Groups"].split(), f"{pid}: is in the groups {fields['Groups'].strip()}")
            users.add(fields["Uid"].split()[0])
            for name, ours in own.items():
                check(os.readlink(f"/proc/{pid}/ns/{name}") != ours, f"{pid}: shares our {name} namespace")
            if pid != row["guard_pid"]:  # whose evidence grows
                longest = Path(f"/proc/{pid}/limits").read_text().split("Max file size")[1].split()[0]
                check(longest == str(4 << 20), f"{pid}: may write files of {longest} bytes")
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
        # A memfd is anybody's to open for writing by its number below /proc, unless its mode says no.
        for entry in os.listdir(f"/proc/{guest.pid}/fd"):
            if "memory-backend-memfd" in os.readlink(f"/proc/{guest.pid}/fd/{entry}"):
                mode = os.stat(f"/proc/{guest.pid}/fd/{entry}").st_mode & 0o777
                check(mode & 0o222 == 0, f"the guest's RAM has the mode {mode:o}")
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


def traitor(programs: Path, times: int) -> None:
    """A fallen guard that calls each FVM bad: others are watched on, and it costs so many FVMs a second and no more."""
    with attacked(programs, "vitrine-guard") as folder, Lab(folder) as lab:
        BareGuest(lab, "web1")
        lab.watched("web1")
        BareGuest(lab, "traitor")
        until(lambda: "too often" in (lab.guest("traitor") or {"trouble": ""})["trouble"], 20)

        def lost() -> int:
            return sum("traitor: FVM" in line and "is lost" in line for line in lab.log.read_text().splitlines())

        begin, before = time.monotonic(), lost()
        said("killed, beside a fallen guard", gaps(lab, "web1", times, lambda row: os.kill(row["fvm_pid"], signal.SIGKILL)))
        time.sleep(2)
        rate = (lost() - before) / (time.monotonic() - begin)
        check(rate <= 15, f"the fallen guard cost {rate:.0f} FVMs a second")
        lab.verify("web1")
    print(f"a guard that calls each FVM bad: it cost {rate:.0f} FVMs a second; the other guest was watched on")


def ram_of(guest: BareGuest) -> bytes:
    for entry in os.listdir(f"/proc/{guest.pid}/fd"):
        path = f"/proc/{guest.pid}/fd/{entry}"
        if "memory-backend-memfd" in os.readlink(path):
            with open(path, "rb") as ram:
                return ram.read()
    raise Failure("the guest's RAM was not found")
