"""./dev bench guard: how fast guarding is and what it costs. Sections: --only NAME[,NAME]; --quick: fewer of each."""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "guest"))

import guard_events  # noqa: E402
import guard_footprint  # noqa: E402
import guard_isolation  # noqa: E402
import guard_microvm  # noqa: E402
import guard_takeovers  # noqa: E402
from guard_lab import Failure, be_punctual  # noqa: E402

PROGRAMS = HERE.parent.parent / "build" / "bin"


def script(path: Path, *words: str) -> None:
    """Another bench or test, with its own output."""
    if status := subprocess.run([sys.executable, path, *words]).returncode:
        raise Failure(f"{path.name}: exit status {status}")


def detection(programs: Path, kernels: int) -> None:
    import guard_detection

    guard_detection.detection(programs, ("6.1", "6.12", "7.x")[:kernels])


def debian(programs: Path, kernels: int) -> None:
    import debian_test

    for label in ("6.1", "7.x")[:kernels]:
        if failures := debian_test.run(programs / "vitrine", label, 900, 40):
            raise Failure("\n".join(failures))


def changed_text(programs: Path, seconds: int) -> None:
    import guard_memory

    guard_memory.changed_text(programs, seconds)


def forty(programs: Path, count: int) -> None:
    import guard_memory

    guard_memory.forty(programs, count)


def scan(programs: Path, mebibytes: int) -> None:
    del programs
    script(HERE / "guard_scan.py", "--memory", str(mebibytes))


# name: its parts, each (what it shows, how often, how often with --quick, what runs it)
SECTIONS = {
    "detection": [("every fixture found by an FVM of either kind, on 6.1, 6.12 and 7.x, and told as gone; finding to freeze", 3, 1, detection),
                  ("a full Debian with bpftrace in it, as it boots and at rest: no finding", 2, 1, debian)],
    "events": [("what the agent says is looked at at once, until it is in the evidence", 20, 3, guard_events.events)],
    "scan": [("what scanning costs, beside yara on the same memory, in MiB", 1024, 256, scan)],
    "isolation": [("what guards and FVMs have", 1, 1, lambda programs, _: guard_isolation.isolation(programs)),
                  ("an FVM that has fallen: hangs, falls silent, floods, forges, breaks out (target 150 ms)", 20, 3, guard_isolation.attacker)],
    "takeover": [("an FVM is lost in each way; until the next one watches (target 150 ms)", 100, 10, guard_takeovers.takeovers),
                 ("an engine hangs or is silenced in the middle of a pass over Linux (target 150 ms)", 20, 3, guard_takeovers.hangs),
                 ("the same FVM as a virtual machine under TCG (target: 1 s)", 20, 2, guard_microvm.microvm),
                 ("takeovers while findings stand: none lost, none repeated", 100, 10, guard_takeovers.findings),
                 ("guards and supervisors killed at random", 100, 10, guard_takeovers.deaths)],
    "footprint": [("FVMs at once on idle guests (targets: 16 MiB private, 1 % of a core each)", 40, 10, guard_footprint.footprint),
                  ("a process FVM with the whole pack on Linux, seconds", 60, 10, guard_footprint.whole_pack),
                  ("its memory while kernel text is changed under it (target 16 MiB)", 60, 60, changed_text),
                  ("FVMs at once with the whole pack on Linux guests (targets: 16 MiB, 1 % of a core each)", 40, 8, forty)],
    "lifecycle": [("guests come, reboot and go (target: nothing stays)", 500, 30, guard_footprint.lifecycle)],
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench guard")
    parser.add_argument("--only", default=",".join(SECTIONS), help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    for name in names:
        if name not in SECTIONS:
            parser.error(f"there is no section {name}; there are {', '.join(SECTIONS)}")
    status = 0
    be_punctual()
    for name in names:
        for words, often, quick, run in SECTIONS[name]:
            print(f"\n{name}: {words}", flush=True)
            try:
                run(PROGRAMS, quick if arguments.quick else often)
            except Failure as failure:
                print(f"FAILED: {failure}", flush=True)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
