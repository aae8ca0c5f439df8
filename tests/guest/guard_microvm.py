"""The same FVM as a virtual machine: measured, looked into by the Super FVM, taken over."""

import contextlib
import mmap
import os
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from guard_footprint import private_kib
from guard_isolation import ram_of
from guard_lab import BareGuest, Failure, Lab, RULES, build_image, check, stop_process, until
from guard_takeovers import gaps, hangs, said


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
            print(f"private memory of its QEMU {private_kib(row['fvm_pid']) / 1024:.0f} MiB, of its RAM {microvm_pages(row['fvm_pid'])} MiB; "
                  f"of the Super FVM that looks into two of them {private_kib(super_pid) / 1024:.0f} MiB")  # fmt: skip
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
