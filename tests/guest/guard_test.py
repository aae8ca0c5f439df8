"""Guards, FVMs and their supervisor, with everything that may befall them. Exit status 77: skipped."""

import argparse
import sys
from pathlib import Path

from guard_events import events
from guard_footprint import footprint, lifecycle, whole_pack
from guard_isolation import attacker, isolation, traitor
from guard_lab import Failure, be_punctual
from guard_microvm import microvm
from guard_states import actions, flood, states
from guard_takeovers import deaths, findings, hangs, starved, takeovers

GROUPS = {
    "Takeovers": lambda a: takeovers(a.programs, a.times or 5),
    "Starved": lambda a: starved(a.programs, a.times or 4),
    "Deaths": lambda a: deaths(a.programs, a.times or 10),
    "States": lambda a: states(a.programs),
    "Isolation": lambda a: isolation(a.programs),
    "Findings": lambda a: findings(a.programs, a.times or 6),
    "Microvm": lambda a: microvm(a.programs, a.times or 2),
    "Attacker": lambda a: attacker(a.programs, a.times or 3),
    "Traitor": lambda a: traitor(a.programs, a.times or 3),
    "Footprint": lambda a: footprint(a.programs, a.times or 8),
    "Actions": lambda a: actions(a.programs, a.times),
    "Flood": lambda a: flood(a.programs),
    "Hangs": lambda a: hangs(a.programs, a.times or 3),
    "Pack": lambda a: whole_pack(a.programs, a.times or 6),
    "Events": lambda a: events(a.programs, a.times or 3),
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
