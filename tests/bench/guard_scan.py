"""What scanning costs, beside `yara` on the image of the same memory with the same rules.

    guard_scan.py [--kernel 6.1] [--memory 1024]

Both see one moment: the guest is paused for the comparison of what they find, and only for that. Scanning itself is
timed on the guest as it runs. Times are medians, and of CPU: what one core is busy with, however many share it.
"""

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests")]

from vitrine_guests import Guest  # noqa: E402

PROBE = ROOT / "build/bin/scan_probe"

# Plain strings, hexadecimal with gaps, a regular expression, wide and caseless ones: each kind of YARA's.
RULES = r"""
rule elf_header { strings: $a = { 7f 45 4c 46 02 01 01 00 } condition: $a }
rule shell_words { strings: $a = "/bin/sh" $b = "busybox" $c = "HISTFILE" condition: any of them }
rule reverse_words { strings: $a = "/dev/tcp/" $b = "nc -e" $c = "socat exec" condition: any of them }
rule rootkit_words { strings: $a = "diamorphine" $b = "reptile" nocase $c = "kallsyms_lookup_name" condition: any of them }
rule gap { strings: $a = { 48 8b 05 ?? ?? ?? ?? 48 85 c0 [1-8] ff d0 c3 } condition: $a }
rule address { strings: $a = /10\.77\.0\.[0-9]{1,3}/ condition: $a }
rule wide_words { strings: $a = "Password" wide ascii condition: $a }
rule eicar { strings: $a = "EICAR-STANDARD-ANTIVIRUS-TEST-FILE" condition: $a }
"""


def many_rules(count):
    """Rules as packs have them: of several strings each, which this memory does not have."""
    return "".join(
        f'rule absent_{i} {{ strings: $a = "absent-marker-{i:05}-alpha" $b = "Mozilla/9.{i} beacon" '
        f"$c = {{ de ad {i % 256:02x} be ef {i // 256 % 256:02x} 55 48 89 e5 }} condition: 2 of them }}\n"
        for i in range(count)
    )


def probe(what, machine, rules, runs):
    done = subprocess.run([PROBE, what, str(machine), str(rules), str(runs)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def yara(rules, image):
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(["yara", "-p", "1", "-s", "-w", str(rules), str(image)], capture_output=True, text=True, check=True, errors="replace")
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime, done.stdout


def matches_of(text):
    found, rule = set(), ""
    for line in text.splitlines():
        if match := re.match(r"0x([0-9a-f]+):(\$\w*):", line):
            found.add((rule, match[2], int(match[1], 16)))
        else:
            rule = line.split(" ")[0]
    return found


def row(what, value, unit, target=None, least=False):
    verdict = ""
    if target is not None:
        ok = value >= target if least else value <= target
        verdict = f"   target {'at least' if least else 'at most'} {target} {unit}: {'met' if ok else 'MISSED'}"
    print(f"  {what:<66} {value:>9.2f} {unit}{verdict}", flush=True)


def scan(programs=None, runs=5, kernel="6.1", memory=1024):
    with tempfile.TemporaryDirectory() as folder, Guest(kernel, memory=memory, backend="memfd") as guest:
        rules = Path(folder) / "rules.yar"
        rules.write_text(RULES + many_rules(200))
        image = Path(folder) / "ram.raw"
        print(f"Linux {guest.kernel.release}, {memory} MiB, at rest; {RULES.count('rule ') + 200} YARA rules", flush=True)
        passes = [probe("passes", guest.pid, ROOT / "rules", runs) for _ in range(2)]
        cold = [each[0]["cpu_ms"] for each in passes]
        again = [p["cpu_ms"] for each in passes for p in each[1:] if "pass" in p]
        row("a full pass of the pack, cold", statistics.median(cold), "ms", 2000)
        row("a full pass again", statistics.median(again), "ms", 200)
        for one in passes[-1]:
            if "symptom" in one:
                print(f"    {one['symptom']:<40} {one['ms']:9.2f} ms")
        live = probe("processes", guest.pid, rules, runs)
        told = [p for p in live if "pass" in p]
        row("208 YARA rules over all memory, cold", told[0]["cpu_ms"], "ms", 2000)
        row("the same again: a guest at rest", statistics.median([p["cpu_ms"] for p in told[1:]]), "ms", 200)
        row("every process by its own page tables, beside that", statistics.median([p["processes_cpu_ms"] for p in told]), "ms")
        print(f"    pages {told[0]['pages']}, not empty {told[0]['looked_at']}, candidates {told[0]['candidates']}, given to YARA {told[0]['given_mib']:.1f} MiB")
        with guest.paused():
            guest.qmp("pmemsave", val=0, size=memory << 20, filename=str(image))
            ours = [probe("patterns", guest.pid, rules, 1) for _ in range(3)]
            theirs = [yara(rules, image) for _ in range(3)]
        mine = {(m["rule"], m["string"], m["offset"]) for m in ours[-1] if "rule" in m}
        their = matches_of(theirs[-1][1])
        limited = {rule for rule, _, _ in mine if sum(1 for m in mine if m[0] == rule) >= 65536}
        mine = {m for m in mine if m[0] not in limited}
        their = {m for m in their if m[0] not in limited}
        print(f"    matches: ours {len(mine)}, yara's {len(their)}, ours alone {len(mine - their)}, yara's alone {len(their - mine)}"
              + (f"; not compared, as more than 65536 were kept: {', '.join(sorted(limited))}" if limited else ""))  # fmt: skip
        a = statistics.median(each[0]["cpu_ms"] for each in ours)
        b = statistics.median(each[0] * 1000 for each in theirs)
        row("cold, of one paused moment: ours", a, "ms")
        row("yara, one thread, on the image of it", b, "ms")
        row("that many times faster", b / a, "x", 5, least=True)
        if mine != their:
            raise SystemExit(f"what is found differs: ours alone {sorted(mine - their)[:5]}, yara's alone {sorted(their - mine)[:5]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--memory", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    scan(runs=arguments.runs, kernel=arguments.kernel, memory=arguments.memory)
