#!/usr/bin/env python3
"""Refuses a promise of docs/SPECIFICATION.md whose test does not exist.

    specification.py BUILD      the build's tests are asked for with ctest

Names of tests (unit.*, guest.*, fuzz.*, house.*; with * and {a,b}; "..." ends a shortened one),
scripts, and the parts of benches are looked up.
"""

import fnmatch
import json
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
listed = subprocess.run(["ctest", "--show-only=json-v1"], cwd=sys.argv[1], capture_output=True, check=True)
tests = [test["name"] for test in json.loads(listed.stdout)["tests"]]
wrong, held = [], 0


def spellings(name):
    choice = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
    names = [choice[1] + one + choice[3] for one in choice[2].split(",")] if choice else [name]
    return [one.replace("...", "*") for one in names]


def missing(word):
    """What of a word in backquotes does not exist; None if it names no test."""
    if re.match(r"(unit|guest|fuzz|house)\.", word):
        return [one for one in spellings(word) if not fnmatch.filter(tests, one)]
    bench = re.match(r"\./dev bench (\w+)(?: --only (\w+))?", word)
    if bench:
        script = root / f"tests/bench/{bench[1]}.py"
        known = script.is_file() and (not bench[2] or re.search(rf"\b{bench[2]}\b", script.read_text()))
        return [] if known else [word]
    script = re.match(r"(?:tests/guest/)?(\w+\.py)", word)
    if script and script[1] != "truth_VIEW.py":
        return [] if (root / "tests/guest" / script[1]).is_file() else [word]
    if word.startswith("tests/"):
        return [] if list(root.glob(word)) else [word]
    return None


section, promises = "", False
for number, line in enumerate((root / "docs/SPECIFICATION.md").read_text().splitlines(), 1):
    place = f"docs/SPECIFICATION.md:{number}"
    if line.startswith("#"):
        section = ""
    if line.startswith("Held by "):  # all of the table below; its cells name the parts
        section = line
    cells = line.split(" | ")
    if not line.startswith("|"):
        promises = False
    elif cells[-1].strip(" |") == "held by":
        promises = True
    elif promises and not set(line) <= set("|-"):
        held += 1
        words = re.findall(r"`([^`]+)`", cells[-1] + section)
        found = [missing(word) for word in words]
        wrong += [f"{place}: there is no {word}" for gone in found for word in gone or []]
        if all(gone is None for gone in found):
            wrong.append(f"{place}: no test holds this promise: {cells[0][2:90]}")

numbers = [path.name[:4] for path in (root / "docs/adr").glob("*.md")]
wrong += [f"docs/adr: two decisions are numbered {number}" for number in sorted(set(numbers)) if numbers.count(number) > 1]

print("\n".join(wrong) or f"{held} promises, each with a test that exists")
sys.exit(1 if wrong else 0)
