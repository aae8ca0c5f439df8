#!/usr/bin/env python3
"""vitrine profile against guests whose CPUs are known to be in one function.

    profile_test.py --vitrine build/bin/vitrine --kernels 6.1

A program burns its time in burn_cycles, called by burn_outer; then another makes the kernel
compute random bytes (chacha). The hottest function, its callers and the picture must say so.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from cases import kernel_parser, verdict  # noqa: E402
from look_test import Vitrine  # noqa: E402
from vitrine_guests import Guest  # noqa: E402


def folded(text):
    """{stack: count}"""
    stacks = {}
    for line in text.decode().splitlines():
        stack, count = line.rsplit(" ", 1)
        stacks[tuple(stack.split(";"))] = int(count)
    return stacks


def profile(vitrine, guest, actor, options, folder):
    _, pid = guest.run(f"SECONDS=300 /actors/{actor} >/dev/null 2>&1 & echo $!")
    time.sleep(0.5)
    picture = Path(folder) / f"{actor}.svg"
    done = vitrine.run("profile", guest.name, "--duration", f"{options.seconds}s", "--folded", "-o", str(picture))
    guest.run(f"kill {int(pid)}")
    stacks = folded(done.stdout)
    own = Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
    total = sum(own.values())
    top = ", ".join(f"{name} {100 * count / total:.0f}%" for name, count in own.most_common(4))
    print(f"  {actor:<12} {total:>5} samples, {len(stacks)} stacks: {top}")
    print(f"      said: {done.stderr.decode().strip().splitlines()[-1]}")
    return stacks, own, total, picture


def check_picture(picture, hottest, wrong):
    root = xml.parse(picture).getroot()
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    if not any(re.match(rf"{re.escape(hottest)} \(\d+ samples, ", title) for title in titles):
        wrong.append(f"{picture.name}: no box is called {hottest}")
    for element in root.iter():
        if any("http" in value for value in element.attrib.values()):
            wrong.append(f"{picture.name}: it asks for something from elsewhere")


def extra(options, label):
    """The agent in some guests: it leaves stacks at samples to the same source, and nothing else may change."""
    if label not in ("6.1", "7.x"):
        return ""
    return subprocess.run([options.vitrine, "qemu-args"], capture_output=True, text=True, check=True).stdout.strip()


def sampled(vitrine, guest, actor, wrong):
    """The same by a script: {(kernel's functions, program's): count} of the actor, innermost first."""
    _, pid = guest.run(f"SECONDS=300 /actors/{actor} >/dev/null 2>&1 & echo $!")
    time.sleep(0.5)
    script = f'Sample(49) when (process.name == "{actor}") {{ @s[kstack, ustack] = count() }}'
    plan = vitrine.run("check", "--vm", guest.name, "-e", script).stdout.decode()
    done = vitrine.run("run", "-e", script, guest.name, "--duration", "4s", "--json")
    guest.run(f"kill {int(pid)}")
    if "sampler" not in plan:
        wrong.append(f"{guest.label}: the plan of a script with stacks at samples: {plan}")
    rows = [entry for line in done.stdout.splitlines() for entry in json.loads(line).get("entries", [])]
    stacks = Counter()
    for row in rows:
        kernel, user = row["key"]
        names = [tuple((frame["symbol"] or "?").split("+")[0] for frame in stack) for stack in (kernel, user)]
        stacks[names[0], names[1]] += row["value"]
    print(f"  {actor:<12} {stacks.total():>5} samples by a script, {len(stacks)} stacks")
    return stacks


def check_samples(vitrine, guest, wrong):
    stacks = sampled(vitrine, guest, "burn", wrong)
    # By name, as the program's own source calls them.
    right = sum(count for (_, user), count in stacks.items() if user[:3] == ("burn_cycles", "burn_outer", "burn_run"))
    if stacks.total() < 20 or right < 0.8 * stacks.total():
        wrong.append(f"{guest.label}: programs' stacks by a script: {stacks.most_common(3)} of {stacks.total()}, {right} right")
    stacks = sampled(vitrine, guest, "burn-kernel", wrong)
    right = sum(count for (kernel, _), count in stacks.items() if any(name.startswith("chacha") for name in kernel[:1]) and any("read" in name for name in kernel))
    inside = sum(count for (kernel, _), count in stacks.items() if any("read" in name for name in kernel))
    if stacks.total() < 20 or right == 0 or inside < 0.8 * stacks.total():
        wrong.append(f"{guest.label}: kernel stacks by a script: {inside} by way of read, {right} in chacha, of {stacks.total()}")


def main():
    parser = kernel_parser(__doc__, cpus=1)
    parser.add_argument("--seconds", default=4, type=float)
    options = parser.parse_args()
    wrong = []
    for label in options.kernels:
        print(f"Linux {label}, {options.cpus} CPU", flush=True)
        with tempfile.TemporaryDirectory(prefix="vitrine-profile-") as folder, Guest(label, cpus=options.cpus, extra=extra(options, label)) as guest:
            vitrine = Vitrine(options.vitrine, folder)
            check_samples(vitrine, guest, wrong)
            stacks, own, total, picture = profile(vitrine, guest, "burn", options, folder)
            if own.most_common(1)[0][0] != "burn_cycles" or own["burn_cycles"] < 0.5 * total:
                wrong.append(f"{label}: burn_cycles is not the hottest: {own.most_common(3)}")
            right = sum(count for stack, count in stacks.items() if stack[:4] == ("burn", "burn_run", "burn_outer", "burn_cycles"))
            if right < 0.8 * total:
                wrong.append(f"{label}: only {right} of {total} samples are in burn_cycles by its callers")
            check_picture(picture, "burn_cycles", wrong)
            stacks, own, total, picture = profile(vitrine, guest, "burn-kernel", options, folder)
            # What copies the bytes out is next to it: the cipher's functions count as one.
            cipher = sum(count for name, count in own.items() if name.startswith("chacha"))
            if cipher < max(count for name, count in own.items() if not name.startswith("chacha")):
                wrong.append(f"{label}: chacha is not the hottest: {own.most_common(3)}")
            right = sum(count for stack, count in stacks.items() if stack[0] == "burn-kernel" and any("read" in name and name.endswith("_[k]") for name in stack))
            if right < 0.8 * total:
                wrong.append(f"{label}: only {right} of {total} samples are in the kernel by way of read")
            check_picture(picture, own.most_common(1)[0][0], wrong)
    for text in wrong:
        print(f"      {text}")
    return verdict(wrong)


if __name__ == "__main__":
    sys.exit(main())
