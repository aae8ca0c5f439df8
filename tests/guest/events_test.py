#!/usr/bin/env python3
"""Events, against what the guest knows of itself and what QEMU logs of the same run.

    events_test.py --kernels 6.1 --cpus 1 2           one kernel
    events_test.py --only calls writes                some of the comparisons
    events_test.py --only bomb --bomb 10000           the fork bomb in full

Programs in the guest do acts whose number and arguments they print (guests/actors/events.c); the
agent watches with a script, and every record must be there, once, with the right values. A record
that is missing must have been counted as lost.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from vitrine_guests import LABELS, Guest  # noqa: E402


class Watch:
    """A script that the agent runs while the context lasts; then what it recorded."""

    def __init__(self, program, guest, script, **environment):
        self.command = [str(program), "watch", guest.name, script]
        self.environment = environment
        self.records, self.maps, self.notes, self.broken = [], {}, [], []
        self.end = {}

    def __enter__(self):
        self.process = subprocess.Popen(self.command, env={**os.environ, **self.environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "started_ms" not in line:
            self.process.stdin.close()
            raise AssertionError(f"the agent did not start the script: {line}{self.process.stderr.read()}")
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        return self

    def read(self):
        for line in self.process.stdout:
            row = json.loads(line)
            if "values" in row:
                self.records.append(row)
            elif "map" in row:
                self.maps.setdefault(row["map"], []).append(row)
            elif "broken" in row:
                self.broken.append(row)
            elif "records" in row:
                self.end = row
            else:
                self.notes.append(row)

    def __exit__(self, *unused):
        time.sleep(0.3)  # what the last events wrote is on its way
        self.process.stdin.close()
        self.reader.join(60)
        self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()

    @property
    def lost(self):
        return self.end.get("lost", 0) + self.end.get("firings_lost", 0)

    def of(self, probe):
        """As they happened: the records of several CPUs come one CPU after the other."""
        return sorted((row for row in self.records if row["probe"] == probe), key=lambda row: row["time"])

    def in_order(self):
        """Differences of the records' own account: a sequence without gaps on each CPU."""
        last, gaps = {}, 0
        for row in self.records:
            before = last.get(row["cpu"])
            if before is not None and row["sequence"] <= before:
                gaps += 1
            last[row["cpu"]] = row["sequence"]
        return [f"{gaps} records came out of order"] if gaps else []


def signed(value):
    return value - (1 << 64) if value is not None and value >= 1 << 63 else value


def narrow(value):
    return value if value is None else (value & 0xFFFFFFFF) - (1 << 32 if value & 0x80000000 else 0)


def acts(guest, actor, count, timeout=580):
    """Runs an actor; what it printed."""
    status, said = guest.run(f"COUNT={count} /actors/{actor}", timeout)
    if status != 0:
        raise AssertionError(f"the actor {actor}: status {status}: {said.decode(errors='replace')}")
    return said.decode()


def differences_of(what, expected, have):
    if expected == have:
        return []
    first = next((i for i, (a, b) in enumerate(zip(expected, have)) if a != b), min(len(expected), len(have)))
    return [f"{what}: {len(expected)} expected, {len(have)} seen; the first difference at {first}: "
            f"expected {expected[first:first + 2]}, have {have[first:first + 2]}"]  # fmt: skip


def calls(test, guest, actor="calls"):
    """Every system call with its arguments, every return with its result."""
    count = test.options.calls
    script = f"""
Syscall(lseek) when (process.name == "{actor}") {{ Print("%d %d %d", arg0, arg1, arg2) }}
SyscallReturn(lseek) when (process.name == "{actor}") {{ Print("%d", ret) }}
"""
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, actor, count)
    # The descriptor is an int: what the upper half of its register holds is the compiler's affair.
    have = [(narrow(fd), offset, whence) for fd, offset, whence in (row["values"] for row in watch.of(0))]
    returns = [(narrow if actor == "calls-compat" else signed)(row["values"][0]) for row in watch.of(1)]
    wrong = differences_of("calls", [(-77, i, 0x1234) for i in range(count)], have)
    wrong += differences_of("returns", [-9] * count, returns)
    if f"calls {count}" not in said:
        wrong.append(f"the actor says {said.strip()}")
    return f"{count} calls, {len(have)} seen, {len(returns)} returns, {watch.lost} lost", wrong + watch.in_order()


def compat(test, guest):
    """The same by the 32-bit entry."""
    return calls(test, guest, "calls-compat")


def refused(test, guest):
    """Ways out of a call beside its function's: seccomp refuses it; a new task begins with its parent's result."""
    count = test.options.calls // 4
    script = """
SyscallReturn(lseek) when (process.name == "refused") { Print("%d %d", ret, syscall.compat) }
SyscallReturn(clone) when (process.name == "family") { Print("%d %d", process.pid, ret) }
"""
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "refused", count)
        born = acts(guest, "family", 20)
    have = [(narrow(ret), compat) for ret, compat in (row["values"] for row in watch.of(0))]
    wrong = differences_of("refused calls", [(-61, 0), (-62, 1)] * count, have)
    if f"native {count} compat {count}" not in said:
        wrong.append(f"the actor says {said.strip()}")
    parent = int(re.search(r"pid (\d+)", born)[1])
    children = [int(pid) for pid in re.findall(r"child (\d+) ", born)]
    forks = [tuple(row["values"]) for row in watch.of(1)]
    wrong += differences_of("parents' returns of clone", [(parent, pid) for pid in children], [fork for fork in forks if fork[0] == parent])
    wrong += differences_of("children's", [(pid, 0) for pid in children], [fork for fork in forks if fork[0] != parent])
    return f"{2 * count} refused calls, {len(have)} returns; {len(children)} forks, {len(forks)} returns, {watch.lost} lost", wrong


def returns(test, guest):
    """Functions that are entered on one CPU and left on another, one within the other, each as often as it was called."""
    names = {line.split()[2] for line in guest.kallsyms().splitlines()}
    functions = ["ksys_read", "vfs_read", "pipe_read" if "pipe_read" in names else "anon_pipe_read"] * 2  # two blocks each
    script = "".join(f'Return({name}) when (process.name == "movers") {{ Print("%d %d", thread.tid, ret) }}\n' for name in functions)
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "movers", 100)
    parent, reads = (int(word) for word in re.search(r"pid (\d+) movers 4 reads (\d+)", said).groups())
    wrong, cpus = [], set()
    for i, name in enumerate(functions):
        rows = [row for row in watch.of(i) if row["values"][0] != parent]
        cpus |= {row["cpu"] for row in rows}
        by_thread = Counter(row["values"][0] for row in rows)
        if len(rows) != reads or len(by_thread) != 4 or len(set(by_thread.values())) != 1 or any(row["values"][1] != 1 for row in rows):
            wrong.append(f"{name}: {reads} calls by 4 processes, returns: {dict(by_thread)}")
    return f"{reads} reads, each moved while it waits: {len(watch.records)} returns of {len(functions) // 2} functions by two blocks each on {len(cpus)} CPUs, {watch.lost} lost", wrong


def writes(test, guest):
    """Every write of a program to a word of its own, with the value before and after."""
    count = test.options.calls
    script = 'WriteAt(0x5ee500000100, 8) when (process.name == "writes") { Print("%d %d", event.old, event.value) }'
    with Watch(test.program, guest, script) as watch:
        acts(guest, "writes", count)
    have = [tuple(row["values"]) for row in watch.records]
    wrong = differences_of("writes", [(max(i - 1, 0), i) for i in range(count)], have)
    return f"{count} writes, {len(have)} seen, {watch.lost} lost", wrong + watch.in_order()


def aliases(test, guest):
    """Code that is mapped at two addresses, of which one is watched: each call there, and no other."""
    count = 200
    script = """
ExecuteAt(0x5ee600000123) { Print("%x %d %x", event.address, arg0, reg.rip) }
ExecuteAt(0x5ee600000125) when (process.name == "aliases") { @inner = count() }
ExecuteAt(0x5ee700000123) { @other = count() }
ExecuteAt(0x5ee800000123) { @never = count() }
"""
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "aliases", count)
    have = [tuple(row["values"]) for row in watch.of(0)]
    wrong = differences_of("calls", [(0x5EE600000123, i, 0x5EE600000123) for i in range(count)], have)
    counts = {name: rows[0]["count"] or rows[0]["value"] for name, rows in watch.maps.items() if rows}
    counts = {name: value for name, value in counts.items() if value}
    if counts != {"inner": count, "other": 2 * count} or f"right {3 * count}" not in said:
        wrong.append(f"the maps say {counts}, the actor {said.strip()}")
    return f"{count} calls at one address, {2 * count} at another of the same code: {len(have)} seen, {counts}, {watch.lost} lost", wrong


STORES = 0x5EE500001000


def stores(test, guest):
    """Writes of all kinds to a page: each finds what the ones before it left, and at the end the page
    is what the program prints of it. A word of its own that the code knows from where it stands, too."""
    count = 20
    script = 'WriteAt({}, {}) when (process.name == "stores") {{ Print("%x %d %d %d", event.address, event.size, event.old, event.value) }}'
    word = int(re.search(r"global (\S+)", acts(guest, "stores", 1))[1], 16)
    with Watch(test.program, guest, script.format(STORES, 4096) + "\n" + script.format(word, 8)) as watch:
        said = acts(guest, "stores", count)
    page, wrong, unknown, kinds = bytearray(4096), [], Counter(), Counter()
    for address, size, old, value in (row["values"] for row in watch.of(0)):
        part = min(size, 8)  # of 16 bytes the first eight are told
        at = address - STORES
        found = int.from_bytes(page[at : at + part], "little")
        kinds[size] += 1
        if old is None:
            unknown[f"{size} at {at}"] += 1
        if old is not None and old != found:
            wrong.append(f"a write of {size} bytes at {at}: the page held {found:x}, we say {old:x}")
        page[at : at + size] = value.to_bytes(part, "little") + (value.to_bytes(8, "little") if size == 16 else b"")
    if unknown:
        wrong.append(f"the value before is missing of these writes: {dict(unknown)}")
    end = bytes.fromhex(re.search(r"page ([0-9a-f]+)", said)[1])
    wrong += [f"the page ends with {end[i]:02x} at {i}, by the records it is {page[i]:02x}" for i in range(4096) if end[i] != page[i]]
    own = [tuple(row["values"][2:]) for row in watch.of(1)]
    # In its executable the word's page is a copy that the first write makes.
    wrong += differences_of("the program's own word", [(max(i - 1, 0), i) for i in range(count)], own)
    return f"{len(watch.of(0))} writes of {dict(sorted(kinds.items()))} bytes, {sum(unknown.values())} without the value before, {watch.lost} lost", wrong


def raced(test, guest):
    """Two threads write the same words: atomic ones in an unbroken chain, plain ones right or missing."""
    count = 500
    script = f'WriteAt({STORES}, 16) when (process.name == "stores-raced") {{ Print("%x %d %d", event.address, event.old, event.value) }}'
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "stores-raced", count)
    rows = [row["values"] for row in watch.records]
    sums = sorted((old, value) for address, old, value in rows if address == STORES and old is not None)
    missing = sum(old is None for address, old, _ in rows if address == STORES)
    wrong = [f"an atomic addition made {value} of {old}" for old, value in sums if value != old + 1][:3]
    if len(sums) + missing != 2 * count or len(set(sums)) != len(sums):
        wrong.append(f"{2 * count} atomic additions: {len(sums)} seen whole, {len(set(sums))} of them different, {missing} without the value before")
    if f"sum {2 * count}" not in said:
        wrong.append(f"the actor says {said.strip()}")
    plain = [(old, value) for address, old, value in rows if address == STORES + 8]
    # Each value written is found by at most one write after it, and once more for the first zero.
    written, found = Counter(value for _, value in plain), Counter(old for old, _ in plain if old is not None)
    written[0] += 1
    wrong += [f"{old} was found {times} times, and written {written[old]} times" for old, times in found.items() if times > written[old]][:3]
    unknown = sum(old is None for old, _ in plain)
    return f"{len(rows)} writes by two threads, {missing} of {2 * count} atomic and {unknown} of as many plain ones without the value before, {watch.lost} lost", wrong


def kernel_writes(test, guest):
    """Every write to a word of the kernel, with the value before and after."""
    count = 50
    guest.run("echo 1000 > /proc/sys/kernel/panic")
    with Watch(test.program, guest, 'WriteAt(panic_timeout, 4) { Print("%d %d", event.old, event.value) }') as watch:
        guest.run(f"i=1; while [ $i -le {count} ]; do echo $((1000 + i)) > /proc/sys/kernel/panic; i=$((i + 1)); done")
    guest.run("echo -1 > /proc/sys/kernel/panic")
    have = [tuple(row["values"]) for row in watch.records]
    expected = [(1000 + i, 1001 + i) for i in range(count)]
    return f"{count} writes of panic_timeout, {len(have)} seen, {watch.lost} lost", differences_of("writes", expected, have)


def msrs(test, guest):
    """Every write of a model-specific register that a program asks for, with its value."""
    count = 200
    script = 'MSRWrite(0xc0000102) when (process.name == "gs-bases") { Print("%x %x", event.old, event.value) }'
    with Watch(test.program, guest, script) as watch:
        acts(guest, "gs-bases", count)
    # Others write it too, while the program sleeps or is switched to: only its own values count.
    have = [value for _, value in (row["values"] for row in watch.records) if 0x10000 <= value < 0x10000 + count]
    have = [value for i, value in enumerate(have) if i == 0 or value != have[i - 1]]  # put back after a switch
    wrong = differences_of("values written", list(range(0x10000, 0x10000 + count)), have)
    return f"{count} writes of KERNEL_GS_BASE, {len(have)} seen, {watch.lost} lost", wrong


def family(test, guest):
    """Processes that come, execute and go, by pid and with their exit codes."""
    count = test.options.family
    script = """
ProcessStart { Print("%d %d", process.pid, event.parent_pid) }
ProcessExec { Print("%d %s", process.pid, process.path) }
ProcessExit { Print("%d %d", process.pid, event.code) }
"""
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "family", count)
    parent = int(re.search(r"pid (\d+)", said)[1])
    children = [(int(pid), int(status)) for pid, status in re.findall(r"child (\d+) status (\d+)", said)]
    pids = {pid for pid, _ in children}
    started = [row["values"][0] for row in watch.of(0) if row["values"][1] == parent]
    executed = [row["values"][0] for row in watch.of(1) if row["values"][0] in pids]
    ended = [tuple(row["values"]) for row in watch.of(2) if row["values"][0] in pids]
    # A code may be told as the kernel keeps it (wait's status) or as exit(2) was given it.
    shape = (lambda status: status) if any(code > 255 for _, code in ended) else (lambda status: status >> 8)
    wrong = differences_of("starts", [pid for pid, _ in children], started)
    wrong += differences_of("execs", [pid for i, (pid, _) in enumerate(children) if i % 4 == 3], executed)
    wrong += differences_of("exits", [(pid, shape(status)) for pid, status in children], ended)
    return f"{count} children: {len(started)} starts, {len(executed)} execs, {len(ended)} exits, {watch.lost} lost", wrong


def births(test, guest):
    """The first return of a new task is that of the call which made it, with 0; a program that the kernel itself
    starts (here for a core dump) returns from an execve that nobody entered, and from nothing else."""
    count = 20
    script = """
Syscall when (process.ppid == 2) { @entered[syscall.name] = count() }
SyscallReturn when (process.ppid == 2) { @left[syscall.name] = count() }
SyscallReturn(execve) when (process.ppid == 2) { Print("%d", ret) }
SyscallReturn when (process.name == "family" && ret == 0 && (syscall.name == "clone" || syscall.name == "fork" || syscall.name == "vfork")) { Print("%d", process.pid) }
"""
    _, before = guest.run("cat /proc/sys/kernel/core_pattern")
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "family", count)
        guest.run("echo '|/bin/true' > /proc/sys/kernel/core_pattern; sh -c 'kill -SEGV $$'")
        guest.run(f"echo '{before.decode().strip()}' > /proc/sys/kernel/core_pattern")
        time.sleep(0.5)
    counts = {name: Counter({row["keys"][0]: row["count"] for row in watch.maps.get(name, [])}) for name in ("entered", "left")}
    wrong = []
    if (more := counts["left"] - counts["entered"]) != {"execve": 1} or [row["values"] for row in watch.of(2)] != [[0]]:
        wrong.append(f"the helper left {dict(more)} that it had not entered: {[row['values'] for row in watch.of(2)]}")
    if (fewer := counts["entered"] - counts["left"]) != {"exit_group": 1}:
        wrong.append(f"the helper never left {dict(fewer)}")
    children = sorted(int(pid) for pid in re.findall(r"child (\d+) ", said))
    wrong += differences_of("children", children, sorted(row["values"][0] for row in watch.of(3)))
    return f"{len(children)} children and a helper of the kernel, {sum(counts['entered'].values())} calls of it, {watch.lost} lost", wrong


def modules(test, guest):
    """Modules that are loaded and unloaded, by name."""
    loaded = guest.file("/proc/modules").decode()
    name, rounds = next(name for name in ("loop", "tun", "crc7", "ts_kmp") if f"{name} " not in loaded), 3
    script = 'ModuleLoad { Print("%s", event.name) }\nModuleUnload { Print("%s", event.name) }\nModuleLoad { Print("%s", event.name) }'
    with Watch(test.program, guest, script) as watch:
        for _ in range(rounds):
            guest.load(name)
            guest.unload(name)
    loads = [row["values"][0] for row in watch.of(0) if row["values"][0] == name]
    unloads = [row["values"][0] for row in watch.of(1) if row["values"][0] == name]
    again = [row["values"][0] for row in watch.of(2) if row["values"][0] == name]
    wrong = differences_of("loads", [name] * rounds, loads) + differences_of("loads by a second block", [name] * rounds, again) + differences_of("unloads", [name] * rounds, unloads)
    return f"{name} {rounds} times: {len(loads)} loads, {len(unloads)} unloads, {watch.lost} lost", wrong


def followed(test, guest):
    """Probes of a module's own code and data, through its loading, unloading and loading again: the first
    instruction of its start is seen, each time; another module's coming is none of their business."""
    rounds = 4
    script = """
ExecuteAt("loop:loop_init") { Print("%x", event.address) @starts = count() }
Return("loop:loop_init") { Print("%d", ret) }
ExecuteAt("loop:loop_exit") { Print("%x", event.address) }
WriteAt("loop:part_shift", 4) { Print("%d", event.value) }
ExecuteAt("loop:*") { @calls = count() }
ExecuteAt("no_such:*") { @never = count() }
"""
    guest.load("loop")
    with Watch(test.program, guest, script) as watch:
        guest.unload("loop")
        for _ in range(rounds):
            guest.load("ts_kmp")
            guest.load("loop")
            guest.unload("ts_kmp")
            guest.unload("loop")
        guest.load("loop")
    guest.unload("loop")
    wrong = []
    for probe in range(4):
        values = [row["values"][0] for row in watch.of(probe)]
        right = [0] * len(values) if probe in (1, 3) else [value for value in values if value >> 63 == 1]
        if len(values) != rounds + 1 or values != right:
            wrong.append(f"probe {probe}: {rounds + 1} events expected, seen are {values}")
    count = {name: row[0]["count"] or row[0]["value"] for name, row in watch.maps.items() if row}
    if count.get("starts") != rounds + 1 or count.get("calls", 0) < 2 * (rounds + 1) or "never" in count:
        wrong.append(f"the maps say {count}")
    told = [note["text"] for note in watch.notes if "the module loop is" in note.get("text", "")]
    if len(told) != 2 * (rounds + 1):
        wrong.append(f"{len(told)} notes of its coming and going: {told}")
    return f"loop {rounds + 1} times: {[len(watch.of(probe)) for probe in range(4)]} events, {count}, {watch.lost} lost", wrong


def registers(test, guest):
    """CR3 and MSR writes: on each CPU what a write finds is what the one before it left, so that none
    is missing; and what QEMU's monitor says at the end is the last that was seen."""
    script = 'CRWrite(3) { Print("%x %x", event.old, event.value) }\nMSRWrite { Print("%d %x %x", event.index, event.old, event.value) }'
    with Watch(test.program, guest, script) as watch:
        acts(guest, "family", 20)
        guest.pause()
        monitor = guest.human("info registers -a")
        time.sleep(0.3)
    guest.resume()
    wrong, last, breaks = [], {}, Counter()
    plain = (1 << 63) - 1  # bit 63 of CR3 asks for no flush, and is not kept
    for row in watch.of(0):
        old, value = row["values"]
        if row["cpu"] in last and last[row["cpu"]] != old & plain:
            breaks["CR3"] += 1
        last[row["cpu"]] = value & plain
    for cpu, value in enumerate(int(v, 16) for v in re.findall(r"CR3=([0-9a-f]+)", monitor)):
        if cpu in last and last[cpu] != value & plain:
            wrong.append(f"CPU {cpu}: the monitor says CR3 is {value:x}, the last write seen was {last[cpu]:x}")
    chains = {}
    for row in watch.of(1):
        index, old, value = row["values"]
        key = (row["cpu"], index)
        # Some registers change by other means (FS, GS, TSC deadline) or are not read back as written.
        if key in chains and chains[key] != old and index not in (0xC0000100, 0xC0000101, 0xC0000102, 0x6E0, 0x830, 0x10, 0x80B):
            breaks[f"MSR {index:#x}"] += 1
        chains[key] = value
    wrong += [f"{name}: {count} writes found something that no write seen had left" for name, count in breaks.items()]
    if len(watch.of(0)) < 20:
        wrong.append(f"only {len(watch.of(0))} writes of CR3 were seen")
    return f"{len(watch.of(0))} writes of CR3, {len(watch.of(1))} of {len({i for _, i in chains})} MSRs, {watch.lost} lost", wrong


def pause_between_events(guest):
    """Pauses the machine where no CPU has been given an interrupt or exception whose handler it has not begun: QEMU
    logs that it gives one, we count the handler's first instruction, and the pause may fall between both."""
    for _ in range(100):
        guest.pause()
        registers = guest.human("info registers -a")
        table = int(re.search(r"IDT=\s*([0-9a-f]+)", registers)[1], 16)
        words = [int(word, 16) for word in re.findall(r" 0x([0-9a-f]{16})", guest.human(f"x /512gx {table:#x}"))]
        assert len(words) == 512, f"the interrupt table at {table:#x} cannot be read"
        handlers = {low & 0xFFFF | low >> 32 & 0xFFFF0000 | (high & 0xFFFFFFFF) << 32 for low, high in zip(words[::2], words[1::2])}
        if handlers.isdisjoint(int(rip, 16) for rip in re.findall(r"RIP=([0-9a-f]+)", registers)):
            return
        guest.resume()
        time.sleep(0.01)
    raise AssertionError("in 100 pauses, some CPU stood before a handler each time")


def exceptions(test, guest):
    """Page faults and interrupts, by number: exactly as many as QEMU's own log counts in the same time."""
    script = "Exception(14) { @faults[cpu] = count() }\nInterrupt { @interrupts[event.vector] = count() }"
    with tempfile.TemporaryDirectory(prefix="vitrine-log-") as folder:
        log = Path(folder) / "int.log"
        pause_between_events(guest)
        guest.human(f"logfile {log}")
        with Watch(test.program, guest, script) as watch:
            guest.human("log int")
            guest.resume()
            acts(guest, "family", 10)
            pause_between_events(guest)
            guest.human("log none")
        guest.resume()
        told = Counter()
        for line in log.read_bytes().decode(errors="replace").splitlines():
            if found := re.match(r"\s*\d+: v=([0-9a-f]{2}) e=[0-9a-f]+ i=(\d)", line):
                told["fault" if int(found[1], 16) == 14 else ""] += 1
            elif found := re.match(r"Servicing hardware INT=0x([0-9a-f]+)", line):
                told[f"INT {int(found[1], 16)}"] += 1
    faults = sum(row["count"] or row["value"] or 0 for row in watch.maps.get("faults", []))
    interrupts = {row["keys"][0]: row["count"] or row["value"] for row in watch.maps.get("interrupts", [])}
    wrong = [] if faults == told["fault"] else [f"page faults: QEMU logged {told['fault']}, we counted {faults}"]
    for key in sorted({int(name[4:]) for name in told if name.startswith("INT")} | set(interrupts)):
        if told[f"INT {key}"] != interrupts.get(key, 0):
            wrong.append(f"interrupt {key:#x}: QEMU logged {told[f'INT {key}']}, we counted {interrupts.get(key, 0)}")
    return f"{faults} page faults, {sum(interrupts.values())} interrupts of {len(interrupts)} vectors", wrong


def stacks(test, guest):
    """kstack and ustack at an event, while its CPU waits for the host."""
    script = """
ExecuteAt(do_exit) when (process.name == "calls") { Print("kernel%s\\n", kstack) Print("program%s\\n", ustack) Stop() }
Start { Print("ready\\n") }
"""
    process = subprocess.Popen([test.options.vitrine, "run", "-e", script, guest.name, "--duration", "60s"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = process.stdout.readline()
    time.sleep(1)  # the probes of the agent start with the program, not before it
    acts(guest, "calls", 1)
    lines = [line.strip() for line in process.stdout]
    process.wait(60)
    names = [line.split("+")[0] for line in lines]
    if "kernel" not in names or "program" not in names:
        return "failed", [f"it says {[said, *lines]}"]
    kernel = names[names.index("kernel") + 1 : names.index("program")]
    program = names[names.index("program") + 1 :]
    wrong = []
    if kernel[:1] != ["do_exit"] or kernel[1:2] != ["do_group_exit"] or kernel[-2:] != ["do_syscall_64", "entry_SYSCALL_64_after_hwframe"]:
        wrong.append(f"the kernel's stack at do_exit is {kernel}")
    if "exit" not in program[:1][0].lower() if program else True:
        wrong.append(f"the program's stack is {program}")
    return f"{len(kernel)} frames of the kernel, {len(program)} of the program", wrong


def stalled(test, guest):
    """Whoever reads the rings stands still while programs on every CPU fill them: no CPU waits, and at the end what
    came, what found no room and what was thinned are all that the programs did, on each CPU."""
    count, programs = 12000, guest.options.cpus
    script = 'Syscall(lseek) when (process.name == "calls") { @ran[cpu] = count() Print("%d %s %s", arg1, process.path, process.name) }'
    with Watch(test.program, guest, script, RING_BYTES=str(256 << 10)) as watch:
        watch.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        try:
            status, said = guest.run(f"for i in $(seq {programs}); do COUNT={count} taskset $(printf %x $((1 << (i - 1)))) /actors/calls & done; wait", 300)
        finally:
            watch.process.send_signal(signal.SIGCONT)
        took = time.monotonic() - begin
    told = said.decode().count(f"calls {count} failed {count}")
    ran = {row["keys"][0]: row["count"] or row["value"] for row in watch.maps["ran"]}
    came = Counter(row["cpu"] for row in watch.records)
    lost, thinned = watch.end["lost"], watch.end["firings_lost"]
    wrong = watch.in_order()
    if status != 0 or told != programs:
        wrong.append(f"{told} of {programs} programs did their calls: status {status}: {said.decode(errors='replace')[-300:]}")
    if sum(ran.values()) + thinned != programs * count:
        wrong.append(f"{programs * count} calls: {sum(ran.values())} ran, {thinned} were thinned")
    if sum(came.values()) + lost != sum(ran.values()):
        wrong.append(f"{sum(ran.values())} ran: {sum(came.values())} records came, {lost} were lost and counted")
    if lost == 0 or set(ran) != set(range(programs)) or any(came[cpu] > ran[cpu] for cpu in came):
        wrong.append(f"{lost} lost; by CPU: ran {ran}, came {dict(came)}")
    return f"{programs * count} calls on {len(ran)} CPUs in {took:.1f} s: {sum(came.values())} records, {lost} lost, {thinned} thinned", wrong


def names(test, guest):
    """A name of several variables is refused, with each of its places; what is said to name one in every boot does."""
    places = {}
    for address, kind, name, *module in map(str.split, guest.kallsyms().splitlines()):
        if kind in "dDbB" and not module and address.startswith("f"):
            places.setdefault(name, set()).add(int(address, 16))
    often = next(name for name, all_of in places.items() if len(all_of) == 3 and name.isidentifier())

    def check(where):
        command = [test.options.vitrine, "check", "--json", "--vm", guest.name, "-e", f'WriteAt({where}, 4) {{ Print("x") }}']
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    status, said = check(often)
    ways = set(re.findall(r"([A-Za-z_]\w*)\+(0x[0-9a-f]+)", said))  # each source says so
    led_to = {next(iter(places[name])) + int(offset, 16) for name, offset in ways if len(places.get(name, ())) == 1}
    wrong = []
    if status != 1 or f"{often} is the name of 3 places" not in said or not all(f"{at:#x}" in said for at in places[often]) or "in quotes" in said:
        wrong.append(f"status {status}: {said}")
    if not led_to or not led_to <= places[often] or len(led_to) != len(ways):
        wrong.append(f"{often} is at {[hex(at) for at in places[often]]}, and is to be named by {ways}")
    wrong += [f"{name}+{offset}: {check(f'{name}+{offset}')}" for name, offset in ways if check(f"{name}+{offset}")[0] != 0]
    return f"{often} at 3 places: refused; named by {len(ways)} others' names", wrong


def bomb(test, guest):
    """A fork bomb: nothing is lost that is not counted."""
    count = test.options.bomb
    script = """
ProcessStart { Print("%d %d", process.pid, event.parent_pid) }
ProcessExit { Print("%d", process.pid) }
Syscall(exit_group) when (process.name == "family") { @exits = count() }
"""
    with Watch(test.program, guest, script) as watch:
        said = acts(guest, "family", count)
    parent = int(re.search(r"pid (\d+)", said)[1])
    pids = {int(pid) for pid in re.findall(r"child (\d+) ", said)}
    started = [row["values"][0] for row in watch.of(0) if row["values"][1] == parent]
    ended = [row["values"][0] for row in watch.of(1) if row["values"][0] in pids]
    wrong = []
    missing = 2 * count - len(started) - len(ended)
    if missing > watch.lost:
        wrong.append(f"{missing} records of {2 * count} are missing, {watch.lost} were counted as lost")
    if missing < 0:
        wrong.append(f"{-missing} records too many")
    return f"{count} processes: {len(started)} starts, {len(ended)} exits, {watch.lost} lost and counted", wrong


TESTS = {"calls": calls, "compat": compat, "refused": refused, "returns": returns, "aliases": aliases, "writes": writes, "stores": stores, "raced": raced, "kernel-writes": kernel_writes, "msrs": msrs, "family": family, "births": births, "modules": modules, "followed": followed, "registers": registers, "exceptions": exceptions, "stacks": stacks, "names": names, "stalled": stalled, "bomb": bomb}  # fmt: skip


class Test:
    def __init__(self, options):
        self.options = options
        self.program = options.vitrine.with_name("agent_probe").resolve()
        self.wrong = []

    def guest_options(self):
        said = subprocess.run([self.options.vitrine, "qemu-args"], capture_output=True, text=True, check=True)
        return said.stdout.strip()

    def run(self, label, cpus):
        print(f"Linux {label}, {cpus} CPU{'s' if cpus > 1 else ''}", flush=True)
        begin = time.monotonic()
        with Guest(label, cpus=cpus, cpu=self.options.cpu, extra=self.guest_options()) as guest:
            for name in self.options.only or TESTS:
                try:
                    shown, wrong = TESTS[name](self, guest)
                except (AssertionError, KeyError, OSError, ValueError, subprocess.TimeoutExpired) as failed:
                    shown, wrong = "failed", [f"{type(failed).__name__}: {failed}"]
                print(f"  {name:<11} {shown}", flush=True)
                for text in wrong[:6]:
                    print(f"      {text[:700]}", flush=True)
                self.wrong += [f"{label}, {cpus} CPUs, {name}: {text}" for text in wrong]
            _, complaints = guest.run("dmesg | grep -E 'BUG|WARNING|Oops|rcu.*stall|general protection' | head -3")
            if complaints.strip():
                self.wrong.append(f"{label}: the guest's log complains: {complaints.decode(errors='replace')}")
                print(f"      {self.wrong[-1]}")
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--kernels", nargs="+", default=LABELS, metavar="LABEL")
    parser.add_argument("--cpus", nargs="+", default=[1, 2], type=int)
    parser.add_argument("--cpu", default="max,-fsgsbase", help="as QEMU's -cpu; without SMAP the kernel can write to programs' memory anywhere: max,-smap")
    parser.add_argument("--only", nargs="+", default=[], choices=list(TESTS))
    parser.add_argument("--calls", default=2000, type=int)
    parser.add_argument("--family", default=40, type=int)
    parser.add_argument("--bomb", default=200, type=int)
    test = Test(parser.parse_args())
    for label in test.options.kernels:
        for cpus in test.options.cpus:
            test.run(label, cpus)
    print(f"{len(test.wrong)} things wrong")
    return 1 if test.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
