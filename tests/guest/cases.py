"""Cases of a guest test: one after the other, each told by its name; a failure hides none that follow."""

import argparse
import time
from pathlib import Path

from vitrine_guests import LABELS


def run_cases(test, only=None):
    """Runs the methods test_NAME of `test`, in the order they are written; the number that failed.

    A case returns what it saw, in a sentence (or nothing), and raises where it saw something else.
    """
    names = [name for name in vars(type(test)) if name.startswith("test_")]
    if unknown := set(only or ()) - {name[5:] for name in names}:
        raise SystemExit(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(name[5:] for name in names)}")
    failed = 0
    for name in names:
        if only and name[5:] not in only:
            continue
        begin = time.monotonic()
        try:
            word = getattr(test, name)()
            print(f"ok    {name[5:]} ({time.monotonic() - begin:.1f} s): {word}", flush=True)
        except Exception as wrong:  # noqa: BLE001: one failure must not hide the next
            failed += 1
            print(f"FAIL  {name[5:]}: {type(wrong).__name__}: {wrong}", flush=True)
    return failed


def kill_and_reap(process):
    """Kills what was started, if it still runs."""
    if process.poll() is None:
        process.kill()
    process.wait()


def kernel_parser(description, cpus):
    """The words of a test that goes over kernels with the program `vitrine`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--kernels", nargs="+", default=LABELS, metavar="LABEL")
    parser.add_argument("--cpus", default=cpus, type=int)
    return parser


def verdict(wrong):
    """Says how many things are wrong; the exit status."""
    print(f"{len(wrong)} things wrong")
    return 1 if wrong else 0
