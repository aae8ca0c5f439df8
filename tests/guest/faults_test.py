#!/usr/bin/env python3
"""Every view on a real, paused guest while reads fail: the 1st, the 2nd ..., alone and from there on.

    faults_test.py --vitrine build/bin/vitrine --probe build/bin/look_probe [--kernel 6.1] [--most 20] [--views V ...]

No crash, no hang, no row and no value from nowhere, no row left out without a word. Of views with more reads, all of the
first 64 are made to fail and then about MOST of the rest.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from look_test import OF_QEMU, Vitrine  # noqa: E402
from vitrine_guests import Guest  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--probe", default="build/bin/look_probe", type=Path)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--most", default=20, type=int)
    parser.add_argument("--views", nargs="+", default=[])
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as cache, Guest(options.kernel, memory=256, backend="memfd") as guest:
        vitrine = Vitrine(options.vitrine, cache)
        guest.pause()
        for view in options.views or [view for view in vitrine.views() if view not in OF_QEMU]:
            done = subprocess.run([options.probe, "faults", guest.name, view, str(options.most)], capture_output=True,
                                  text=True, env=vitrine.environment, timeout=300)  # fmt: skip
            print(f"  {done.stdout.strip() or done.stderr.strip()}", flush=True)
            if done.returncode != 0:
                wrong.append(f"{view}: status {done.returncode}: {done.stderr.strip()}")
            elif (figures := json.loads(done.stdout))["said"] + figures["refused"] == 0:
                wrong.append(f"{view}: no fault was noticed at all")
    print("\n".join(wrong) or "no row from nowhere, none left out without a word")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
