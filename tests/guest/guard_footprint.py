"""What guarding costs, and that nothing of it stays."""

import os
import statistics
import time
from pathlib import Path

from guard_lab import BareGuest, Lab, RULES, check, linux_guest, until


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def private_kib(pid: int) -> int:
    """Its own memory. A guest's RAM that it maps is not: that is the guest's, whoever else maps it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def footprint(programs: Path, count: int) -> None:
    """Many FVMs at once, on idle guests."""
    with Lab(programs) as lab:
        for number in range(count):
            BareGuest(lab, f"g{number}", memory=4)
        rows = [lab.watched(f"g{number}", seconds=60) for number in range(count)]
        before = {row["fvm_pid"]: ticks(row["fvm_pid"]) for row in rows}
        time.sleep(10)
        shares = [(ticks(pid) - then) / os.sysconf("SC_CLK_TCK") / 10 * 100 for pid, then in before.items()]
        private = [private_kib(pid) / 1024 for pid in before]
        print(f"{count} FVMs at once (no kernel in their guests): private memory at most {max(private):.1f} MiB, "
              f"CPU at most {max(shares):.2f} %, together {sum(shares):.1f} % of a core")  # fmt: skip
        check(max(private) <= 16, "16 MiB")


def whole_pack(programs: Path, seconds: int) -> None:
    """A process FVM with the whole pack on a Linux guest: its memory and its CPU."""
    with Lab(programs, RULES) as lab, linux_guest(lab):
        fvm, first = lab.watched("web1")["fvm_pid"], 0
        while (row := lab.guest("web1"))["passes"] < 2:  # all text is judged in the first, as when it changed
            first = max(first, private_kib(fvm))
            check(row["fvm_pid"] == fvm, f"it was replaced:\n{lab.log.read_text()}")
            time.sleep(0.005)
        most, before = 0, ticks(row["fvm_pid"])
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            most = max(most, private_kib(row["fvm_pid"]))
            time.sleep(0.02)
        share = (ticks(row["fvm_pid"]) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begin) * 100
        now, guard = private_kib(row["fvm_pid"]), private_kib(row["guard_pid"])
        print(f"whole pack on Linux 6.1, idle, {seconds} s: private memory {now / 1024:.1f} MiB, at most {most / 1024:.1f} MiB during passes "
              f"and {first / 1024:.1f} MiB until the end of the first; "
              f"CPU {share:.2f} % of a core; a pass {lab.guest('web1')['pass_ms']:.0f} ms; its guard {guard / 1024:.1f} MiB")  # fmt: skip
        check(lab.guest("web1")["takeovers"] == 0, f"it was replaced:\n{lab.log.read_text()}{(lab.state / 'guards.log').read_text()}")
        strange = [entry["words"] for entry in lab.evidence("web1")
                   if entry["kind"] == "finding" and entry["subject"] in ("kernel_text_patched", "hidden_module")]  # fmt: skip
        check(not strange, f"a guest that boots is no attack: {strange}")
        check(now <= 16 * 1024, "16 MiB")


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
                "KiB private": private_kib(pid)}  # fmt: skip

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
