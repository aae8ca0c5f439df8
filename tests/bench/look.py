#!/usr/bin/env python3
"""./dev bench look: what looking costs, with peers beside it where they are installed.

    ./dev bench look                    all parts
    ./dev bench look --only attach      one of equality, attach, refresh, scale, untouched, churn
    ./dev bench look --only kernels     every kernel that Debian's archive has (an hour; not among all parts)
    ./dev bench look --only shapes      machines of many shapes (half an hour; not among all parts)
    ./dev bench look --only peers       crash and drgn beside ours (fetches 900 MB of debug symbols, once; not among all parts)

Every figure is printed with its target. Times are medians of whole processes, runs taken in
turn (A B A B) so that a machine whose speed drifts does not favour one side.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest"), str(ROOT / "tests/bench")]

import images  # noqa: E402
from look_kernels import SHAPES, SUITES, kernel_matrix, shape_matrix  # noqa: E402
from look_peers import peers  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

VITRINE = ROOT / "build/bin/vitrine"
PROBE = ROOT / "build/bin/look_probe"
RUNS = 9


def run(*words, cache=None, check=True):
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache)) if cache else dict(os.environ)
    begin = time.perf_counter()
    done = subprocess.run([str(each) for each in words], capture_output=True, env=environment, timeout=600)
    took = time.perf_counter() - begin
    if check and done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return took, done


def peak_memory(*words, cache):
    """The largest resident size of one run in MiB: of its own, and of the guest's RAM as mapped (shared memory). Sampled."""
    own = mapped = 0
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, XDG_CACHE_HOME=str(cache)))
    while process.poll() is None:
        with contextlib.suppress(OSError):
            sizes = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.M))
            if sizes:
                own = max(own, int(sizes["RssAnon"]) + int(sizes["RssFile"]))
                mapped = max(mapped, int(sizes["RssShmem"]))
    return own / 1024, mapped / 1024


class Table:
    missed = 0

    @classmethod
    def row(cls, what, value, unit, target=None, worse=None):
        verdict = ""
        if target is not None:
            ok = value <= target
            cls.missed += not ok
            verdict = f"target {target:g} {unit}: {'met' if ok else 'MISSED'}"
        spread = f"(worst {worse:.1f})" if worse is not None else ""
        print(f"  {what:<58} {value:9.2f} {unit:<4} {spread:<16} {verdict}", flush=True)


def medians(commands, runs=RUNS):
    """Runs the commands in turn; the median and the worst of each, in ms."""
    times = [[] for _ in commands]
    for _ in range(runs):
        for number, command in enumerate(commands):
            times[number].append(command() * 1000)
    return [(statistics.median(each), max(each)) for each in times]


def need_tasks(guest, count):
    listed = len(guest.truth()["processes"])
    if listed < count:
        raise SystemExit(f"the guest has {listed} tasks; {count} are wanted")
    return listed


def attach(label):
    with Guest(label, memory=1024, backend="memfd") as guest, tempfile.TemporaryDirectory() as warm:
        tasks = need_tasks(guest, 100)
        print(f"Attach: Linux {label}, 1 GiB, {tasks} processes")

        def cold():
            with tempfile.TemporaryDirectory() as empty:
                return run(VITRINE, "ps", guest.name, "--json", cache=empty)[0]

        def cached():
            return run(VITRINE, "ps", guest.name, "--json", cache=warm)[0]

        cached()
        with guest.paused():
            rows = [json.loads(line) for line in run(VITRINE, "ps", guest.name, "--json", cache=warm)[1].stdout.splitlines()]
            (cold_ms, cold_worst), (cached_ms, cached_worst) = medians([cold, cached])
        pids = [row["pid"] for row in rows]
        if len(pids) != len(set(pids)) or len(pids) < 100:
            raise SystemExit(f"the list is wrong: {len(pids)} rows")
        Table.row("cold: name to complete process list", cold_ms, "ms", 500, cold_worst)
        Table.row("from the cache", cached_ms, "ms", 50, cached_worst)
        with tempfile.TemporaryDirectory() as empty:
            own, mapped = peak_memory(VITRINE, "ps", guest.name, "--json", cache=empty)
        Table.row(f"peak memory, cold (and {mapped:.0f} MiB of the guest's, mapped)", own, "MiB", 64)

        image = Path(warm) / "memory.elf"
        guest.dump(image)
        for name in ("ps", "lsof", "ss", "maps", "lsmod"):
            ms, worst = medians([lambda name=name: run(VITRINE, name, image, "--json", cache=warm)[0]], 5)[0]
            Table.row(f"image of it, {name}, from the cache", ms, "ms", None, worst)


def refresh(label):
    """A second look of one reader, in turn with first ones; on RAM that is shared and on QEMU's default, which only
    QEMU has mapped: two guests, asked in turn."""
    backends = ("memfd", "anonymous")
    with contextlib.ExitStack() as stack:
        guests = {backend: stack.enter_context(Guest(label, memory=256, backend=backend)) for backend in backends}
        warm = stack.enter_context(tempfile.TemporaryDirectory())
        print(f"Refresh inside one process: Linux {label}; medians of 3 rounds of 200 looks each, in turn")
        for view in ("processes", "threads", "files", "maps", "sockets", "modules"):
            rounds = {backend: [] for backend in backends}
            for _ in range(3):
                for backend, guest in guests.items():
                    rounds[backend].append(json.loads(run(PROBE, "refresh", guest.name, view, "200", cache=warm)[1].stdout))
            for backend, each in rounds.items():
                middle = {key: statistics.median(figures[key] for figures in each) for key in ("rows", "median_ms", "worst_ms", "first_ms")}
                target = 1.0 if view == "processes" else None
                Table.row(f"{view} ({middle['rows']} rows), {backend}", middle["median_ms"], "ms", target, middle["worst_ms"])
                print(f"  {'a first look of another reader':<58} {middle['first_ms']:9.2f} ms   {middle['first_ms'] / middle['median_ms']:.1f} times")
        for backend, guest in guests.items():
            with guest.paused():
                for view in ("processes", "threads", "files", "maps", "sockets"):
                    figures = json.loads(run(PROBE, "agree", guest.name, view, cache=warm, check=False)[1].stdout)
                    Table.row(f"{view}, {backend}: repeated looks that differ from fresh ones", figures["differing"], "", 0)


def scale(label):
    print(f"Cost follows the rows, not the RAM: Linux {label}, the same actors")
    base = None
    for gib in (1, 4, 16):
        with Guest(label, memory=gib * 1024, backend="memfd") as guest, tempfile.TemporaryDirectory() as warm:
            run(VITRINE, "ps", guest.name, cache=warm)
            figures = json.loads(run(PROBE, "refresh", guest.name, "processes", "200", cache=warm)[1].stdout)
            whole = medians([lambda: run(VITRINE, "ps", guest.name, "--json", cache=warm)[0]], 5)[0]
            Table.row(f"{gib:>2} GiB: processes, {figures['rows']} rows", figures["median_ms"], "ms", None, figures["worst_ms"])
            Table.row(f"{gib:>2} GiB: whole process, from the cache", whole[0], "ms", None, whole[1])
            base = base or whole[0]
    print(f"  16 GiB over 1 GiB: {whole[0] / base:.2f} times")


def digest_of_ram(pid):
    """A hash over every writable page of the guest's RAM, through /proc/PID/mem."""
    whole = hashlib.blake2b()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not found:
                continue
            start, end = int(found[1], 16), int(found[2], 16)
            if end - start < 128 << 20:
                continue
            memory.seek(start)
            while start < end:
                piece = memory.read(min(end - start, 4 << 20))
                whole.update(piece)
                start += len(piece)
    return whole.hexdigest()


def untouched(label):
    print(f"Untouched: Linux {label}, paused; a hash over its RAM before and after every command")
    views = [json.loads(line)["view"] for line in run(VITRINE, "views", "--json")[1].stdout.splitlines()]
    for backend in ("anonymous", "memfd"):
        with Guest(label, memory=256, backend=backend) as guest, tempfile.TemporaryDirectory() as cache:
            with guest.paused():
                before = digest_of_ram(guest.pid)
                commands = [["info"], ["pstree"], ["sym", "init_task"], ["type", "task_struct"], ["mem", "init_task:4096"]]
                commands += [["show", view] for view in views]
                for command in commands:
                    words = [command[0], command[1], guest.name] if command[0] == "show" else [command[0], guest.name, *command[1:]]
                    run(VITRINE, *words, cache=cache)
                same = digest_of_ram(guest.pid) == before
                running = guest.qmp("query-status")["running"]
            print(f"  {backend:<10} {len(commands)} commands: {'not a byte changed' if same else 'CHANGED'}; still paused: {not running}")
            Table.missed += not same


def counted(guest):
    """Processes and threads that the guest has started so far (/proc/stat)."""
    return int(guest.run("awk '/^processes/ {print $2}' /proc/stat")[1])


def churn(label, listings):
    """Two CPUs, each busy with starting and ending; from outside, whole runs of the program and listings of one reader."""
    for backend in ("memfd", "anonymous"):
        print(f"Churn: Linux {label}, 2 CPUs, {backend} memory; {listings} listings of each kind")
        with Guest(label, memory=512, cpus=2, backend=backend) as guest, tempfile.TemporaryDirectory() as cache:
            run(VITRINE, "ps", guest.name, cache=cache)
            begin, before = time.monotonic(), counted(guest)
            guest.churn(900, "vfork")
            guest.churn(900)
            guest.churn(900, "threads")
            for view in ("processes", "threads"):
                words = [PROBE, "listings", guest.name, view, str(listings)]
                figures = json.loads(run(*words, cache=cache, check=False)[1].stdout)
                for what in ("failed", "twice", "impossible"):
                    Table.row(f"{view}, one reader: {what}", figures[what], "", 0)
                print(f"  {view}: {figures['rows']} rows, {figures['median_ms']:.2f} ms each; read again {figures['retries']}, "
                      f"left out {figures['dropped']}, doubtful {figures['doubtful']}, cut {figures['truncated']}")
            if backend == "memfd":
                whole_runs(guest, cache, listings)
            rate = (counted(guest) - before) / (time.monotonic() - begin)
            print(f"  the guest started {rate:.0f} processes and threads a second meanwhile")


def whole_runs(guest, cache, listings):
    twice = impossible = doubtful = rows = failed = 0
    for _ in range(listings):
        done = run(VITRINE, "ps", guest.name, "--json", "--columns", "pid,ppid,name,state", cache=cache, check=False)[1]
        if done.returncode not in (0, 3):
            failed += 1
            continue
        listed = [json.loads(line) for line in done.stdout.splitlines()]
        rows += len(listed)
        doubtful += sum(1 for row in listed if row.get("doubt"))
        pids = [row["pid"] for row in listed]
        twice += len(pids) - len(set(pids))
        impossible += sum(
            1 for row in listed if not row.get("doubt")
            and (not 0 < row["pid"] <= 4194304 or row["state"] not in "RSDTtXZPI" or "\\x00" in row["name"])
        )
    print(f"  {listings} runs of the program, {rows} rows, doubtful {doubtful}")
    for what, count in (("listings failed", failed), ("pids listed twice", twice), ("impossible rows", impossible)):
        Table.row(what, count, "", 0)


def equality(_options):
    """All kernels, 1 and 2 CPUs, 256 MiB and 5 GiB, and the images: every row, every column."""
    print("Equality with the guest's own account")
    driver = [sys.executable, str(ROOT / "tests/guest/look_test.py"), "--vitrine", str(VITRINE)]
    driver += ["--images", *images.KINDS]
    small = subprocess.run([*driver, "--memory", "256"])
    large = subprocess.run([*driver, "--memory", "5120", "--backend", "memfd"])
    Table.missed += (small.returncode != 0) + (large.returncode != 0)


PARTS = {
    "equality": equality,
    "attach": lambda options: attach(options.kernel),
    "refresh": lambda options: refresh(options.kernel),
    "scale": lambda options: scale(options.kernel),
    "untouched": lambda options: untouched(options.kernel),
    "churn": lambda options: churn(options.kernel, options.listings),
}


def every_kernel(options):
    Table.missed += kernel_matrix(VITRINE, options.suites)


def every_peer(options):
    Table.missed += peers(VITRINE, options.peers_kernel)


def every_shape(options):
    shapes = [shape for shape in SHAPES if any(word in shape for word in options.shapes)]
    if not shapes:
        raise SystemExit(f"no shape has {' or '.join(options.shapes)}; there are: {'; '.join(SHAPES)}")
    Table.missed += shape_matrix(VITRINE, options.kernel, shapes)


# Too long to be among all parts: by --only.
LONG_PARTS = {"kernels": every_kernel, "shapes": every_shape, "peers": every_peer}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--only", nargs="+", choices=[*PARTS, *LONG_PARTS], default=list(PARTS))
    parser.add_argument("--suites", nargs="+", default=SUITES, help="of the part kernels: these alone")
    parser.add_argument("--shapes", nargs="+", default=[""], metavar="WORD", help="of the part shapes: those with one of these words, such as smm hpet maxmem no-qmp file")
    parser.add_argument("--peers-kernel", default="5.10", help="of the part peers: one whose tasks they list whole")
    parser.add_argument("--listings", type=int, default=1000)
    options = parser.parse_args()
    for part in options.only:
        (PARTS | LONG_PARTS)[part](options)
    print(f"targets missed: {Table.missed}")
    return 1 if Table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
