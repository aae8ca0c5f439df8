"""./dev bench guard: what guarding costs and how fast it is. Sections: --only NAME[,NAME]; --quick: fewer of each."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "guest"))

import guard_test  # noqa: E402
from guard_lab import Failure  # noqa: E402

PROGRAMS = HERE.parent.parent / "build" / "bin"


def detection(programs: Path, kernels: int) -> None:
    import guard_detection

    guard_detection.detection(programs, ("6.1", "6.12", "7.x")[:kernels])


def debian(programs: Path, kernels: int) -> None:
    import debian_test

    for label in ("6.1", "7.x")[:kernels]:
        if failures := debian_test.run(programs / "vitrine", label, 900, 40):
            raise Failure("\n".join(failures))


# name: (what it shows, how often, how often with --quick, what runs it)
SECTIONS = {
    "detection": ("every fixture found by an FVM of either kind, on 6.1, 6.12 and 7.x, and told as gone; finding to freeze", 3, 1, detection),
    "debian": ("a full Debian with bpftrace in it, as it boots and at rest: no finding", 2, 1, debian),
    "takeover": ("an FVM is lost in each way; until the next one watches (target 150 ms)", 100, 10, guard_test.takeovers),
    "traitor": ("an FVM that has fallen: hangs, falls silent, floods, forges, breaks out", 20, 3, guard_test.attacker),
    "deaths": ("guards and supervisors killed at random", 100, 10, guard_test.deaths),
    "findings": ("takeovers while findings stand: none lost, none repeated", 100, 10, guard_test.findings),
    "footprint": ("FVMs at once on idle guests (targets: 16 MiB private, 1 % of a core each)", 40, 10, guard_test.footprint),
    "lifecycle": ("guests come and go (target: nothing stays)", 500, 30, guard_test.lifecycle),
    "microvm": ("the same FVM as a virtual machine under TCG (target: 1 s)", 20, 3, guard_test.microvm),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench guard")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    status = 0
    guard_test.be_punctual()
    for name in arguments.only.split(","):
        if name not in SECTIONS:
            parser.error(f"there is no section {name}; there are {', '.join(SECTIONS)}")
        words, often, quick, run = SECTIONS[name]
        print(f"\n{name}: {words}", flush=True)
        try:
            run(PROGRAMS, quick if arguments.quick else often)
        except Failure as failure:
            print(f"FAILED: {failure}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
