#!/usr/bin/env python3
"""Flips single bytes of a real guest's kallsyms and BTF: a kernel that is known must still be seen, and loudly.

    altered_test.py --vitrine build/bin/vitrine --probe build/bin/look_probe [--kernel 6.1] [--rounds 4]

One boot teaches the cache. A second one, at another place (KASLR), has one byte of its tables
flipped at a time, is looked at, and is put right again. With the cache the same rows must come, with
the warning, a failed line in the self-test and a status that is not 0; without it, whatever comes,
nothing may crash, and what differs must not differ in silence.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from forge_test import Ram  # noqa: E402
from look_test import Vitrine  # noqa: E402
from vitrine_guests import Guest  # noqa: E402


def look(vitrine, *words):
    return subprocess.run([vitrine.program, *words], capture_output=True, env=vitrine.environment, timeout=60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--probe", default="build/bin/look_probe", type=Path)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--rounds", default=4, type=int)
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as cache:
        vitrine = Vitrine(options.vitrine, cache)
        with Guest(options.kernel, memory=256, backend="memfd") as guest:
            if look(vitrine, "ps", guest.name).returncode != 0:
                raise SystemExit("the first look failed")
        with Guest(options.kernel, memory=256, backend="memfd") as guest:
            ram = Ram(guest.pid, 256 << 20)
            guest.pause()
            before = look(vitrine, "ps", guest.name, "--json")
            places = json.loads(subprocess.run([options.probe, "tables", guest.name, "-"], capture_output=True, check=True).stdout)
            chance = random.Random(7)
            for table, what in (("kallsyms", "KALLSYMS"), ("btf", "BTF")):
                served = 0
                for number in range(options.rounds):
                    start, size = chance.choice(places[table])
                    at = start + chance.randrange(size)
                    ram.write(at, bytes([ram.read(at, 1)[0] ^ (1 << chance.randrange(8))]))
                    known = look(vitrine, "ps", guest.name, "--json")
                    health = json.loads(look(vitrine, "info", guest.name, "--json").stdout)
                    unknown = look(vitrine, "ps", guest.name, "--json", "--no-cache")
                    ram.restore()
                    said = known.stderr.decode(errors="replace")
                    failed = [check["check"] for check in health["self_test"] if not check["ok"]]
                    if known.stdout != before.stdout:
                        wrong.append(f"{table} {at:#x}: other rows")
                    if "ALTERED" not in said or known.returncode == 0 or not failed:
                        wrong.append(f"{table} {at:#x}: status {known.returncode}, self-test {failed}, said: {said[:200]}")
                    else:
                        served += 1
                    if unknown.returncode < 0 or (unknown.returncode != 0 and not unknown.stderr.strip()):
                        wrong.append(f"{table} {at:#x}: without the cache: status {unknown.returncode}")
                print(f"  {what}: {served} of {options.rounds} single flipped bytes served from what was kept, and said so", flush=True)
            print("  " + next((line for line in said.splitlines() if "ALTERED" in line), "")[:400])
            after = look(vitrine, "ps", guest.name, "--json")
            if after.stdout != before.stdout or after.returncode != 0 or b"ALTERED" in after.stderr:
                wrong.append("put right, the guest does not look as before")
    print("\n".join(wrong) or "one flipped byte: the same rows, with the warning")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
