#!/usr/bin/env python3
"""./dev bench language: what a script costs before and while it runs.

    ./dev bench language                       all parts
    ./dev bench language --only interpreter    one of interpreter, golden, fuzz, classic, start, limits
    ./dev bench language --vm VM               on this machine, instead of a guest of its own

Figures are medians, taken in turn with their control; results are checked, not only timed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests")]

VITRINE = ROOT / "build/bin/vitrine"
BENCH = ROOT / "build/bin/language_bench"
RUNS = 9
missed = 0


def row(what, value, unit, target=None, least=False, worst=None):
    global missed
    verdict = ""
    if target is not None:
        met = value >= target if least else value <= target
        missed += not met
        verdict = f"target {'at least' if least else 'at most'} {target:g}: {'met' if met else 'MISSED'}"
    spread = f"(worst {worst:g})" if worst is not None else ""
    print(f"  {what:<52} {value:>12,.2f} {unit:<8} {spread:<18} {verdict}", flush=True)


def figures(*words):
    done = subprocess.run([str(BENCH), *map(str, words)], capture_output=True, timeout=1200)
    if done.returncode != 0:
        raise SystemExit(f"language_bench {words}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def script_of_300_lines():
    """A script as people write them, only longer: functions, maps, types, views, many probes."""
    lines = ["const limit = 1 << 20", "fn large(x) { return x > limit }"]
    number = 0
    while len(lines) < 296:
        number += 1
        lines += [
            "Every(1h) {",
            "    for (p in processes) {",
            f"        if (large(p.rss) && p.pid > {number}) {{",
            f"            @rss{number % 40}[p.name] = stats(p.rss)",
            f'            Print("%-16s %6d %s\\n", p.name, p.pid, p.path)',
            "        }",
            "    }",
            f"    let task{number} = (struct task_struct *)init_task",
            f'    Print("%s %d\\n", task{number}->comm, task{number}->mm->mm_users.counter + {number})',
            f"    @jiffies{number % 40} = u64(jiffies)",
            "}",
        ]
    lines = lines[:2] + lines[2 : 2 + (len(lines) - 2) // 11 * 11]
    while len(lines) < 299:
        lines.append(f"// line {len(lines) + 1}")
    lines.append('Start { Print("ready\\n") }')
    return "\n".join(lines) + "\n"


def interpreter():
    print("Interpreter (one core, CPU time of its thread)")
    for each in figures("interpreter"):
        if each["what"] == "operations_per_second":
            row("simple operations", each["median"] / 1e6, "M/s", 20, least=True, worst=each["worst"] / 1e6)
        else:
            row(each["what"], each["median"], "ns", 100, worst=each["worst"])


def start(vm, folder):
    print("Start of a script (kernel attached and cached; CPU time but where it says otherwise)")
    script = Path(folder, "long.vmi")
    text = script_of_300_lines()
    assert text.count("\n") == 300, text.count("\n")
    script.write_text(text)
    for each in figures("start", script, vm):
        row(f"300 lines, {each['what']}", each["median"], "ms", 10 if each["what"].startswith("parse to ready") else None, worst=each["worst"])
    empty = Path(folder, "empty.vmi")
    empty.write_text("Start { Stop() }\n")
    long = Path(folder, "stopped.vmi")
    long.write_text(text.replace('Start { Print("ready\\n") }', 'Start { Print("ready\\n") Stop() }'))
    times = {empty: [], long: []}
    for number in range(RUNS + 1):
        for path, all_times in times.items():
            begin = time.perf_counter()
            done = subprocess.run([str(VITRINE), "run", "--allow", "all", str(path), vm], capture_output=True, timeout=120)
            took = time.perf_counter() - begin
            if done.returncode not in (0, 3) or (path == long and not done.stdout.startswith(b"ready\n")):
                raise SystemExit(done)
            if number != 0:
                all_times.append(took * 1000)
    row("whole command, one line (attach and end included)", statistics.median(times[empty]), "ms", worst=round(max(times[empty]), 1))
    row("whole command, 300 lines", statistics.median(times[long]), "ms", worst=round(max(times[long]), 1))


def limits(vm):
    print("Limits")
    def nest(depth):
        return "Start { " + "".join(f"for (i{n} in 0..1000000) {{ " for n in range(depth)) + "@rounds += 1 " + "}" * (depth + 1)

    depth = next(depth for depth in range(200, 0, -1) if subprocess.run([str(VITRINE), "check", "-e", nest(depth)], capture_output=True).returncode == 0)
    begin = time.perf_counter()
    done = subprocess.run([str(VITRINE), "run", "--json", "-e", nest(depth), vm, "--duration", "10ms"], capture_output=True, timeout=120)
    took = time.perf_counter() - begin
    end = json.loads(done.stdout.splitlines()[-1])
    if end["probes"][0]["over_budget"] != 1:
        raise SystemExit(f"the nest did not end by its budget: {end}")
    row(f"{depth} loops (the most there can be) within each other, until the budget ends it", took, "s", 10)


def classic(vm):
    """The four use cases of the published paper, by its grammar: they parse, check and plan."""
    print("Classic, as published (check --vm)")
    for what in ("network_capture", "system_call_trace", "process_life_cycle", "process_list"):
        script = ROOT / f"tests/golden/vmipl/check/classic_{what}.vmi"
        done = subprocess.run([str(VITRINE), "check", "--json", "--vm", vm, str(script)], capture_output=True, timeout=120)
        planned = [one for one in map(json.loads, done.stdout.splitlines()) if one["type"] == "probe"]
        row(f"{what}: probes that are planned", sum(one["source"] is not None for one in planned), "", max(len(planned), 1), least=True)
        for one in planned:
            print(f"    {one['probe']:<36} {one['source'] or 'refused'}: {one.get('mechanism') or one['reason']}")


def golden():
    print("Golden cases and formatting")
    cases = sorted((ROOT / "tests/golden/vmipl").glob("*/*.vmi"))
    row("cases", len(cases), "", 300, least=True)
    build("test_vmipl")
    done = subprocess.run([str(ROOT / "build/bin/test_vmipl"), "--gtest_filter=Golden.*", "--gtest_brief=1"], capture_output=True, timeout=600)
    row("groups of them that fail (each code, formatting twice)", done.returncode != 0, "", 0)
    codes = [json.loads(line)["code"] for line in subprocess.run([str(VITRINE), "explain", "--json"], capture_output=True, check=True).stdout.splitlines()]
    told = "".join(path.read_text(errors="replace") for path in (ROOT / "tests/golden/vmipl").glob("*/*.out"))
    too_large = {"E006", "E134"}  # scripts and programs beyond all bounds: unit.vmipl.Limits.* makes them
    missing = [code for code in codes if f" {code}: " not in told and code not in too_large]
    row(f"of {len(codes)} codes, without a case {' '.join(missing)}", len(missing), "", 0)
    scripts = [*cases, *sorted((ROOT / "examples").glob("*.vmi"))]
    formatted = changed = 0
    for path in scripts:
        once = subprocess.run([str(VITRINE), "fmt"], input=path.read_bytes(), capture_output=True)
        if once.returncode != 0:
            continue  # it has a mistake of form: there is nothing to format
        formatted += 1
        changed += subprocess.run([str(VITRINE), "fmt"], input=once.stdout, capture_output=True, check=True).stdout != once.stdout
    row(f"of {formatted} scripts, not the same when formatted twice", changed, "", 0)


def fuzz(seconds):
    print(f"Fuzzers, {seconds} s each (random mutations; ./dev fuzz SECONDS is guided by coverage)")
    for target in ("vmipl_script_fuzz", "vmipl_program_fuzz", "language_server_fuzz"):
        build(target)
        corpus = [ROOT / "tests/fuzz/corpus" / target]
        if target.startswith("vmipl"):
            corpus += [ROOT / "tests/golden/vmipl/check", ROOT / "tests/golden/vmipl/kernel"]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([str(ROOT / "build/bin" / target), *map(str, corpus)], capture_output=True, cwd=folder,
                                  env={**os.environ, "VITRINE_REPLAY": "0", "VITRINE_FUZZ_SECONDS": str(seconds)}, timeout=seconds + 120)
            found = Path(folder) / "crash-input"
            if found.exists():
                print(f"  it is kept: {shutil.copy(found, ROOT / 'build' / f'{target}-crash-input')}")
        row(f"{target}: {done.stdout.decode().strip().splitlines()[-1] if done.stdout.strip() else 'crashes'}", done.returncode != 0, "", 0)


def build(*targets):
    done = subprocess.run(["ninja", "-C", str(ROOT / "build"), *targets], capture_output=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout.decode())


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--only", choices=("interpreter", "golden", "fuzz", "classic", "start", "limits"))
    words.add_argument("--seconds", type=int, default=20, help="of each fuzzer")
    words.add_argument("--vm")
    words.add_argument("--kernel", default="6.1")
    words = words.parse_args()
    build("language_bench", "vitrine")
    if words.only in (None, "interpreter"):
        interpreter()
    if words.only in (None, "golden"):
        golden()
    if words.only in (None, "fuzz"):
        fuzz(words.seconds)
    if words.only in ("interpreter", "golden", "fuzz"):
        return missed
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder

        def on(vm):
            subprocess.run([str(VITRINE), "info", vm], capture_output=True)  # the cache
            if words.only in (None, "start"):
                start(vm, folder)
            if words.only in (None, "limits"):
                limits(vm)

        if words.vm:
            if words.only in (None, "classic"):
                classic(words.vm)
            on(words.vm)
            return missed
        from vitrine_guests import Guest

        if words.only in (None, "classic"):
            # With the card that the published capture names, and with the agent.
            build("vitrine-agent")
            card = "-netdev user,id=n0,restrict=on -device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56"
            with Guest(words.kernel, cpus=1, memory=256, extra=f"{card} -plugin {ROOT / 'build/bin/vitrine-agent.so'},dir={folder}") as guest:
                classic(str(guest.pid))
        if words.only in (None, "start", "limits"):
            with Guest(words.kernel, cpus=1, memory=256) as guest:
                on(str(guest.pid))
    return missed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
