#!/usr/bin/env python3
"""Stacks of CPUs that run, seen from outside.

    stacks_test.py --vitrine build/bin/vitrine --kernels 6.1        one kernel, 2 CPUs
    stacks_test.py --kernels 5.10 7.x --stops 200

A guest under load is stopped at moments that nobody chose. The stack of each CPU must come to
its end without a guess, and every return address in it must stand behind a call: that is read
from the guest's code, which the walk never looks at. Then return addresses are taken from the
stack by the guest's own tracers, and /proc/PID/stack says what stood there.
"""

import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from cases import kernel_parser, verdict  # noqa: E402
from look_test import Vitrine  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

LINE = re.compile(r"\[<0>\] (\S+?)\+(0x[0-9a-f]+)/")
# Where threads begin, other than in entry code.
BEGINNINGS = ("ret_from_fork", "common_startup_64", "secondary_startup_64")
LOADS = [
    "SECONDS={s} /actors/burn-kernel &",
    "SECONDS={s} /actors/churn &",
    "(t=0; while [ $t -lt {n} ]; do dd if=/dev/zero of=/tmp/x bs=64k count=64 2>/dev/null; cat /tmp/x | md5sum >/dev/null; t=$((t+1)); done) >/dev/null 2>&1 &",
]


def behind_a_call(code):
    """Do these 7 bytes, which end where a return address points, end with a call?"""
    if code[2] == 0xE8:
        return True  # call rel32
    for length in (2, 3, 4, 6, 7):  # call r/m64, with a prefix or not
        at = code[7 - length :]
        if at[0] == 0xFF and at[1] >> 3 & 7 == 2:
            return True
        if at[0] in (0x40, 0x41, 0x2E, 0x3E) and len(at) > 2 and at[1] == 0xFF and at[2] >> 3 & 7 == 2:
            return True
    return False


def code_ranges(guest, *bounds):
    """Each the code between two symbols of the guest's own /proc/kallsyms."""
    listed = (line.split() for line in guest.file("/proc/kallsyms").decode().splitlines())
    at = {words[2]: int(words[0], 16) for words in listed}
    return [range(at[first], at[last]) for first, last in bounds]


def random_stops(vitrine, guest, stops, seed, wrong):
    chance = random.Random(seed)
    seconds = 60 + stops * 2
    for load in LOADS:
        guest.run(load.format(s=seconds, n=seconds * 4))
    kinds, ends, outermost, code = Counter(), Counter(), Counter(), {}
    # What the kernel gives back after its start: what called there still stands on CPU 0's idle
    # stack, its bytes are gone.
    freed, entry = code_ranges(guest, ("_sinittext", "_einittext"), ("__entry_text_start", "__entry_text_end"))
    walked = frames = 0
    for _ in range(stops):
        time.sleep(chance.uniform(0.01, 0.25))
        with guest.paused():
            rows, _ = vitrine.rows("kernel_stacks", guest.name)
            stacks = {}
            for row in rows:
                if row.get("cpu") is not None:
                    stacks.setdefault(row["cpu"], []).append(row)
            for cpu, stack in stacks.items():
                walked += 1
                kinds.update({row["stack"] for row in stack})
                doubt = next((f"{row['doubt']}, at {row['symbol']}" for row in stack if row.get("doubt")), "")
                ends[doubt or "its end"] += 1
                first = stack[-1]["symbol"].split("+")[0]
                if not doubt:
                    outermost[first] += 1
                    if int(stack[-1]["address"], 16) not in entry and not first.startswith(BEGINNINGS):
                        wrong.append(f"CPU {cpu}: a stack ends in {stack[-1]['symbol']}")
                for row in stack:
                    frames += 1
                    if row["source"] == "guess" or not row["reliable"]:
                        wrong.append(f"CPU {cpu}: a guess at {row.get('symbol')}")
                    address = int(row["address"], 16)
                    if row["source"] != "call" or address in freed:
                        continue
                    if address not in code:
                        shown = vitrine.run("mem", guest.name, f"{address - 7:#x}:7", "--raw")
                        code[address] = shown.stdout
                    # The first frames' return addresses are pushed by hand, not called.
                    by_hand = row["symbol"].startswith(BEGINNINGS[1:])
                    if len(code[address]) != 7 or not (behind_a_call(code[address]) or by_hand):
                        wrong.append(f"CPU {cpu}: {row['symbol']} is not behind a call: {code[address].hex()}")
    print(f"  random stops    {walked:>5} stacks of running CPUs, {frames} frames, {len(code)} return addresses; on: {dict(kinds)}")
    print(f"      ended: {dict(ends)}, in: {dict(outermost)}")
    # Entry code, which is on no stack that rules are known for, has no end that can be reached;
    # in the middle of a switch the stack is the next task's, and the kernel does not say so yet.
    honest = ("its end", "it is entering or leaving the kernel,", "its CPU is switching to another task,")
    bad = {why: count for why, count in ends.items() if not why.startswith(honest)}
    if bad:
        wrong.append(f"walks that broke off: {bad}")
    short = sum(count for why, count in ends.items() if why != "its end")
    if short > max(3, walked / 20):
        wrong.append(f"{short} of {walked} stacks have no end: {dict(ends)}")
    if walked < stops / 2:
        wrong.append(f"only {walked} stacks were seen")


def told_stack(guest, pid):
    return [f"{m[1]}+{m[2]}" for m in LINE.finditer(guest.file(f"/proc/{pid}/stack").decode("latin-1"))]


def hooked(vitrine, guest, wrong):
    """A kretprobe, then the function graph tracer, take return addresses of a task that sleeps."""
    tracing = "/sys/kernel/tracing"
    status, said = guest.run(f"mount -t tracefs none {tracing} 2>&1; test -w {tracing}/kprobe_events")
    if status != 0:
        print(f"  hooked returns  not tried: this kernel has no kprobe_events ({said.decode(errors='replace').strip()})")
        return
    ways = {
        "kretprobe": (f"echo r:vitrine hrtimer_nanosleep > {tracing}/kprobe_events && echo 1 > {tracing}/events/kprobes/vitrine/enable",
                      f"echo 0 > {tracing}/events/kprobes/vitrine/enable; echo > {tracing}/kprobe_events"),
        "function graph": (f"echo hrtimer_nanosleep > {tracing}/set_graph_function; echo function_graph > {tracing}/current_tracer",
                           f"echo nop > {tracing}/current_tracer; echo > {tracing}/set_graph_function"),
    }  # fmt: skip
    for way, (on, off) in ways.items():
        status, said = guest.run(on)
        if status != 0:
            print(f"  hooked returns  {way}: this kernel refuses: {said.decode(errors='replace').strip()[:100]}")
            continue
        _, pid = guest.run("sleep 300 >/dev/null 2>&1 & echo $!")
        pid = int(pid)
        time.sleep(1)
        told = told_stack(guest, pid)
        with guest.paused():
            rows, _ = vitrine.rows("kernel_stacks", guest.name, "--pid", str(pid))
        have = [row["symbol"] for row in rows if not re.match(r"(__schedule|schedule|do_nanosleep)\+", row["symbol"])]
        told = [name for name in told if not re.match(r"do_nanosleep\+", name)]
        sources = Counter(row["source"] for row in rows)
        print(f"  hooked returns  {way}: {len(rows)} frames, {dict(sources)}")
        trampolines = ("kretprobe_trampoline", "rethook_trampoline", "return_to_handler")
        if sources["hooked"] == 0 and not any(row.get("doubt", "").startswith("a tracer took") for row in rows):
            wrong.append(f"{way}: no return address was seen to be taken: {have}")
        # Where the kernel itself shows the trampoline (kretprobes before 5.11), we end there and say so.
        if have != told and not any(word in name for name in told for word in trampolines):
            wrong.append(f"{way}: the guest says {told}, we say {have}")
        guest.run(f"kill {pid}; {off}")


def main():
    parser = kernel_parser(__doc__, cpus=2)
    parser.add_argument("--stops", default=40, type=int)
    parser.add_argument("--seed", default=1, type=int)
    options = parser.parse_args()
    wrong = []
    for label in options.kernels:
        print(f"Linux {label}, {options.cpus} CPUs", flush=True)
        with tempfile.TemporaryDirectory(prefix="vitrine-cache-") as cache, Guest(label, cpus=options.cpus) as guest:
            vitrine = Vitrine(options.vitrine, cache)
            before = len(wrong)
            hooked(vitrine, guest, wrong)
            random_stops(vitrine, guest, options.stops, options.seed, wrong)
            for text in list(dict.fromkeys(wrong[before:]))[:12]:
                print(f"      {text[:600]}")
    return verdict(wrong)


if __name__ == "__main__":
    sys.exit(main())
