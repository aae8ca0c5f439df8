#!/usr/bin/env python3
"""The agent in QEMU: that it comes, goes and is taken from, and that nothing is missed.

    agent_test.py --probe build/bin/agent_probe --agent build/bin/vitrine-agent.so [--kernel 6.1] [--only calls ...]

What each event carries is compared in events_test.py; here it is the agent's own life: programs
replaced, controllers that are killed, a second one, nonsense on the socket; with --plain also QEMU
by its plugin interface alone.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "guests"))

from vitrine_guests import Guest  # noqa: E402

CALLS = 'Syscall(lseek) { Print("%d %d %d\\n", arg1, arg2, syscall.compat) }'
RESULTS = 'SyscallReturn(lseek) { Print("%d %d\\n", arg1, ret) }'


class Watch:
    alive = []  # a test that failed leaves its own, which would keep the agent from the next

    def __init__(self, probe, guest, what, script, *rest, **environment):
        self.process = subprocess.Popen([probe, what, guest.name, script, *map(str, rest)], env={**os.environ, **environment}, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        Watch.alive.append(self.process)
        line = self.process.stdout.readline()
        if "started_ms" not in line:
            raise AssertionError(f"not started: {line}{self.process.stderr.read()}")
        # A pipe that nobody empties would hold the program at a write, and its rings would run full.
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def end(self):
        """Its rows, after its standard input was closed."""
        self.process.stdin.close()
        status = self.process.wait(timeout=60)
        self.reader.join(timeout=60)
        assert status == 0, f"ended with {status}: {self.process.stderr.read()}"
        return [json.loads(line) for line in self.lines]


def act(guest, actor, **environment):
    status, output = run(guest, [f"{k}={v}" for k, v in environment.items()], actor)
    assert status == 0, f"{actor}: {output}"
    return output


def run(guest, environment, actor):
    done = subprocess.run([str(HERE.parent.parent / "guests" / "guest"), "run", guest.name, "env", *environment, f"/actors/{actor}"],
                          capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def whole(rows):
    last = rows[-1]
    assert last["lost"] == 0 and last["firings_lost"] == 0, f"lost: {last}"
    return [row["values"] for row in rows if "values" in row]


def numbers(values, expected, what):
    got = sorted(value[0] for value in values)
    assert got == list(range(expected)), f"{what}: {len(got)} records of {expected}, {len(set(got))} different"


def calls(probe, guest):
    for actor, compat, count in (("calls", 0, 3000), ("calls-compat", 1, 2000)):
        watch = Watch(probe, guest, "watch", CALLS)
        act(guest, actor, COUNT=count)
        values = whole(watch.end())
        numbers(values, count, actor)
        assert all(v[1] == 0x1234 and v[2] == compat for v in values), "an argument is another"
        watch = Watch(probe, guest, "watch", RESULTS)
        act(guest, actor, COUNT=count)
        values = whole(watch.end())
        numbers(values, count, f"results of {actor}")
        assert all(v[1] in (-9, 2**64 - 9) for v in values), "a result is another"


def replaced(probe, guest):
    watch = Watch(probe, guest, "replace", CALLS)
    total = 0
    begin = time.monotonic()
    while time.monotonic() < begin + 8:
        act(guest, "calls", COUNT=2000)
        total += 1
    rows = watch.end()
    times = next(row["replaced"] for row in rows if "replaced" in row)
    values = sorted(value[0] for value in whole(rows))
    expected = sorted(list(range(2000)) * total)
    assert values == expected, f"{len(values)} records of {len(expected)} over {times} replacements"
    assert times >= 5, f"only {times} replacements"
    print(f"  {len(values)} records over {times} replacements", flush=True)


def killed(probe, guest, rounds):
    script = ('Syscall { @n[syscall.name] = count() } Syscall(openat) { Print("%s\\n", process.path) } '
              'ProcessExit { Print("%s\\n", symbol(reg.rip)) } WriteAt(0x5ee500000100, 8) { @w = count() }')
    random.seed(1)
    for _ in range(rounds):
        watch = Watch(probe, guest, "count", script)
        busy = subprocess.Popen([str(HERE.parent.parent / "guests" / "guest"), "run", guest.name, "ls", "/proc/1"], stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0, 0.1))
        watch.process.send_signal(signal.SIGKILL)
        watch.process.wait()
        busy.wait(timeout=60)
    watch = Watch(probe, guest, "watch", CALLS)
    act(guest, "calls", COUNT=500)
    numbers(whole(watch.end()), 500, "after the kills")
    log = subprocess.run([str(HERE.parent.parent / "guests" / "guest"), "run", guest.name, "dmesg"], capture_output=True, text=True).stdout
    bad = [line for line in log.splitlines() if re.search(r"\b(BUG:|Oops|soft lockup|general protection)", line)]
    assert not bad, f"the guest complains: {bad[:3]}"


def stopped_host(probe, guest):
    """The host's program stands still: its rings fill, the guest does not wait."""
    watch = Watch(probe, guest, "watch", 'Syscall { Print("%s\\n", process.path) }')
    watch.process.send_signal(signal.SIGSTOP)
    act(guest, "calls", COUNT=100000)
    watch.process.send_signal(signal.SIGCONT)
    last = watch.end()[-1]
    assert last["lost"] > 0 and last["records"] > 0, f"nothing was dropped: {last}"


def slow_reader(probe, guest):
    """Whoever reads the output stands still: the guest does not wait, what is lost is counted, and all that was
    kept comes when the reader goes on."""
    vitrine = str(Path(probe).with_name("vitrine"))
    text = "x" * 2000
    # Held at each: a block on the host that waited for the reader would keep its CPU for the limit.
    script = f'Syscall(lseek) {{ Print("%d %s {text}\\n", arg1, symbol(reg.rip)) }} Start {{ Print("ready\\n") }}'
    ends = os.pipe()
    process = subprocess.Popen([vitrine, "run", "-e", script, guest.name, "--rate-limit", "0"], stdout=ends[1], stderr=subprocess.PIPE, text=True)
    os.close(ends[1])
    begin = time.monotonic()
    while b"ready" not in (got := os.read(ends[0], 65536)):
        assert time.monotonic() < begin + 60, got
    begin = time.monotonic()
    act(guest, "calls", COUNT=12000)  # 24 MB of output
    took = time.monotonic() - begin
    process.send_signal(signal.SIGINT)
    with os.fdopen(ends[0], "rb") as reader:
        lines = [line for line in reader.read().decode().splitlines() if text in line]
    _, told = process.communicate(timeout=60)
    lost = int(re.search(r"standard output: (\d+) records? lost: its reader is too slow", told)[1])
    late = int((re.search(r"(\d+) firings were given up", told) or [0, 0])[1])
    assert len(lines) + lost + late == 12000 and lost > 0, f"{len(lines)} came, {lost} lost, {late} late: {told}"
    assert took < 60, f"the guest took {took:.1f} s"


def late_host(probe, guest):
    """A held firing whose host stands still: the guest waits for the limit and no longer."""
    watch = Watch(probe, guest, "watch", 'ProcessExit { Print("%s\\n", symbol(reg.rip)) }')
    watch.process.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    act(guest, "calls", COUNT=1)
    took = time.monotonic() - begin
    watch.process.send_signal(signal.SIGCONT)
    last = watch.end()[-1]
    assert last["firings_lost"] >= 1, f"no firing was late: {last}"
    assert took < 15, f"the guest waited {took:.1f} s"


def asked(probe, guest):
    """A block that needs the host holds its CPU only for the calls that its predicate wants."""
    for script in ('Syscall(lseek) when (process.name == "calls" && arg1 % 100 == 7) { Print("%s", symbol(reg.rip)) }',
                   'Syscall(lseek) { if (arg1 % 100 != 7) { return } Print("%s", kstack) }'):  # fmt: skip
        watch = Watch(probe, guest, "watch", script)
        act(guest, "calls", COUNT=2000)
        rows = watch.end()
        held = len([row for row in rows if "held" in row])
        assert held == 20 and rows[-1]["firings_lost"] == 0, f"{held} of 20 were held: {rows[-1]}: {script}"


def thinned(probe, guest):
    """A limit of the user's, and the default for what takes more than half of a CPU's time: both are told."""
    by_host = 'Syscall(lseek) { Print("%s %d", symbol(reg.rip), arg1) }'
    for what, script, environment, count in (("RATE_LIMIT", CALLS, {"RATE_LIMIT": "100"}, 20000), ("by default", by_host, {"HELD_MS": "50"}, 40)):
        watch = Watch(probe, guest, "watch", script, **environment)
        begin = time.monotonic()
        act(guest, "calls", COUNT=count)
        seconds = time.monotonic() - begin
        rows = watch.end()
        notes = [row for row in rows if row.get("note") == 1]
        assert len(notes) == 1, f"{what}: told {len(notes)} times: {rows[-3:]}"
        ran = len([row for row in rows if "values" in row or "held" in row])
        lost = rows[-1]["firings_lost"]
        assert ran + lost >= count and lost > 0 and ran > 0, f"{what}: {ran} ran and {lost} were thinned, of {count}"
        if what == "RATE_LIMIT":
            # A limit is of one virtual CPU and of the seconds of its clock that the calls fell in.
            assert ran <= 2 * 100 * (int(seconds) + 2), f"{ran} ran in {seconds:.1f} s"


def notes(watch, kind, count=1, seconds=30):
    """Waits until the watcher was told something of this kind so many times."""
    for _ in range(seconds * 20):
        if len([row for row in map(json.loads, list(watch.lines)) if row.get("note") == kind]) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing was said of kind {kind}: {watch.lines[-3:]}")


def memory(probe, guest):
    """A DIMM comes and goes under a script that reads it."""
    address = 1 << 32  # the first that memory devices get here: there is no RAM beyond 4 GiB
    script = f'Syscall(lseek) {{ Print("%d", phys.u64({address})) }}'
    watch = Watch(probe, guest, "watch", script)
    act(guest, "calls", COUNT=5)
    guest.human("object_add memory-backend-ram,id=extra,size=128M")
    guest.human("device_add pc-dimm,id=dimm,memdev=extra")
    notes(watch, 0)
    act(guest, "calls", COUNT=5)
    guest.human("device_del dimm")
    begin = time.monotonic()
    while "dimm" in guest.human("info memory-devices"):
        assert time.monotonic() < begin + 30, "the guest does not let go of the DIMM"
        act(guest, "calls", COUNT=5)
    guest.human("object_del extra")
    # What the kernel counts its pages to (max_pfn) does not go back; what it says of its RAM does.
    told = subprocess.run([str(Path(probe).with_name("vitrine")), "info", guest.name], capture_output=True, text=True, timeout=60)
    assert re.search(r"^ +ok +memory map: ", told.stdout, re.M), told.stdout + told.stderr
    act(guest, "calls", COUNT=20)  # whatever these see, no harm comes of it
    notes(watch, 0, 2)
    act(guest, "calls", COUNT=7)
    values = [row["values"][0] for row in watch.end() if "values" in row]
    assert values[:5] == [None] * 5 and None not in values[5:10] and values[-7:] == [None] * 7, f"before, with and without it: {values}"


def plugged(probe, guest):
    """A virtual CPU comes, goes and comes again under a script: what runs on it is seen each time, with its arguments."""
    where = "/sys/devices/system/cpu/cpu2"
    if guest.file("/sys/devices/system/cpu/possible").strip() == b"0-1":  # 6.12 and 7.x: QEMU's tables do not say that more may come
        print("skip  plugged: this kernel takes no CPU that was not there at its boot", flush=True)
        return

    def await_cpu(there, what):
        for _ in range(600):
            have = any(one.get("qom-path") and one["props"] == props for one in guest.qmp("query-hotpluggable-cpus"))
            if have == there and (guest.run(f"test -e {where}")[0] == 0) == there:
                return
            time.sleep(0.05)
        raise AssertionError(what)

    free = min((one for one in guest.qmp("query-hotpluggable-cpus") if "qom-path" not in one), key=lambda one: list(one["props"].values()))
    props = free["props"]
    watch = Watch(probe, guest, "watch", 'Syscall(lseek) when (process.name == "calls") { Print("%d %d %d", arg1, arg2, cpu) }')
    rounds, count = 2, 150  # each takes one of the threads that QEMU has room for, and gives none back (10.0: it ends at an assertion)
    for _ in range(rounds):
        guest.qmp("device_add", driver=free["type"], id="third", **props)
        await_cpu(True, "the guest has no third CPU")
        status, said = guest.run(f"[ $(cat {where}/online) = 1 ] || echo 1 > {where}/online; COUNT={count} taskset 4 /actors/calls")
        assert status == 0, said
        guest.qmp("device_del", id="third")
        await_cpu(False, "the guest does not let go of its third CPU")
    values = whole(watch.end())
    assert values == [[i, 0x1234, 2] for i in range(count)] * rounds, f"{len(values)} of {rounds * count}: {values[:3]} ... {values[-3:]}"


def writes(probe, guest):
    """Registers and code written by a CPU that is held at its event: the guest goes on with what was written."""
    vitrine = str(Path(probe).with_name("vitrine"))

    def under(script, command):
        process = subprocess.Popen([vitrine, "run", "-e", script, guest.name, "--allow-writes"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            begin = time.monotonic()
            while True:  # until the script runs
                _, said = guest.run(command)
                if said.decode().split()[-1] != before[-1] or time.monotonic() > begin + 30:
                    return said.decode().split()
        finally:
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
            assert "old code runs on" not in told, told

    # getpid (39) becomes getuid (102): the actor takes itself for process 0.
    command = "COUNT=3 /actors/calls | cut -d' ' -f2 | sed 's/^[1-9].*/real/'"
    before = ["real"]
    said = under('Syscall(getpid) when (process.name == "calls") { WriteRegister(rax, 102) }', command)
    assert said == ["0"], f"a register that was written: {said}"
    assert guest.run(command)[1].split() == [b"real"], "after the script"
    # geteuid gives 1337: mov eax, 1337; ret. QEMU has translated it by then, and must do so anew.
    guest.run("id -u; id -u")
    before = ["0"]
    said = under('ExecuteAt(__x64_sys_getuid) when (process.name == "id") { WriteMemory(__x64_sys_geteuid, (uint64_t) 0xc300000539b8) }', "id -u >/dev/null; id -u")
    assert said == ["1337"], f"code that was written: {said}"


def resumes(probe, guest):
    """Blocks of OnResume that need the host, and the monitor through it: all CPUs stand meanwhile, QEMU's main loop does not."""
    vitrine = str(Path(probe).with_name("vitrine"))
    cpus = int(guest.run("cat /sys/devices/system/cpu/possible")[1].decode().strip().split("-")[-1]) + 1  # with those not plugged
    script = 'OnResume { @fired = count() @at[symbol(reg.rip)] = count() for (c in cpus) { @cpus = count() } }'
    process = subprocess.Popen([vitrine, "run", "--json", "-e", script, guest.name, "--duration", "4s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        guest.run("sleep 0.2")
        assert guest.qmp("query-status")["running"]
    lines, told = process.communicate(timeout=60)
    maps = {row["map"]: row["entries"] for row in map(json.loads, lines.splitlines()) if row["type"] == "map"}
    fired = maps["fired"][0]["value"]
    assert fired > 10 and maps["cpus"][0]["value"] == cpus * fired and sum(entry["value"] for entry in maps["at"]) > fired / 2, f"{fired} resumes: {maps}: {told}"
    watch = Watch(probe, guest, "watch", CALLS)
    act(guest, "calls", COUNT=100)
    numbers(whole(watch.end()), 100, "after held resumes")


def reset(probe, guest):
    """A reset under a script: no event of the kernel that comes is taken for one of the kernel that was."""
    watch = Watch(probe, guest, "watch", 'Syscall { Print("%d", syscall.number) }')
    act(guest, "calls", COUNT=10)
    guest.human("system_reset")
    notes(watch, 3)
    begin = time.monotonic()
    said = len(watch.lines)
    while b"Linux" not in (guest.log.read_bytes()[-400:] or b""):
        if time.monotonic() > begin + 2:
            break
        time.sleep(0.1)
    guest._await_ready(time.monotonic() + 120)
    more = len([line for line in watch.lines[said:] if '"values"' in line])
    watch.end()
    # What was in the rings when the machine was reset may still have come.
    assert more < 200, f"{more} records after the reset"
    watch = Watch(probe, guest, "watch", CALLS)
    act(guest, "calls", COUNT=300)
    numbers(whole(watch.end()), 300, "after a reset")


def second(probe, guest):
    watch = Watch(probe, guest, "watch", CALLS)
    other = subprocess.run([probe, "watch", guest.name, CALLS, "1"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert other.returncode != 0 and f"another controller has this machine: process {watch.process.pid}" in other.stderr, f"a second controller: {other}"
    vitrine = str(Path(probe).with_name("vitrine"))
    told = subprocess.run([vitrine, "check", "--vm", guest.name, "-e", "MSRWrite { }", "--no-cache"], capture_output=True, text=True, timeout=60)
    word = f"! the agent cannot be had: the agent refuses: another controller has this machine: process {watch.process.pid}; events come by the gdbstub"
    assert word in told.stderr, f"nothing is said of who has the agent: {told}"
    act(guest, "calls", COUNT=100)
    numbers(whole(watch.end()), 100, "with a second controller refused")


def nonsense(probe, guest, path):
    frame = lambda kind, body: struct.pack("<IHHI", 0x414D5456, 3, kind, len(body)) + body  # noqa: E731
    random.seed(2)
    messages = [b"hello\n" * 10, frame(1, b"")[:-1] + b"\xff", struct.pack("<IHHI", 0x414D5456, 3, 1, 0xFFFFFFFF),
                struct.pack("<IHHI", 0x414D5456, 9, 1, 0), frame(77, b"x"), frame(1, b"\xff" * 64), frame(3, b"\x00" * 40), frame(4, b"\x01" * 16), frame(6, struct.pack("<IQQQQ", 1, 0, 1 << 40, 4096, 0)), frame(6, b"")]
    messages += [frame(random.choice([1, 2, 3, 4, 5, 6]), random.randbytes(random.randrange(200))) for _ in range(100)]
    for message in messages:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(10)
            for _ in range(200):
                link.connect(path)
                welcome = link.recv(4096)
                if struct.unpack("<H", welcome[6:8])[0] == 64:
                    break
                link.close()
                time.sleep(0.02)
                link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                link.settimeout(10)
            link.sendall(message)
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
            link.close()
    watch = Watch(probe, guest, "watch", CALLS)
    act(guest, "calls", COUNT=200)
    numbers(whole(watch.end()), 200, "after nonsense on the socket")


def without_plugins(probe, agent):
    """A QEMU that is built without plugins (Debian's for microVMs alone) does not start with the agent; `qemu-args` says it
    of the QEMU that a shell would start, and says nothing of one that can load it."""
    vitrine = str(Path(probe).with_name("vitrine"))
    without = shutil.which("qemu-system-x86_64-microvm")
    if without is None:
        print("skip  no qemu-system-x86_64-microvm here, which is built without plugins", flush=True)
        return
    done = subprocess.run([without, "-machine", "none", "-display", "none", "-S", "-plugin", agent], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "plugin interface not enabled" in done.stderr, done
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(without, f"{folder}/qemu-system-x86_64")
        for path, lacks in ((folder, True), (os.environ["PATH"], False)):
            done = subprocess.run([vitrine, "qemu-args"], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and done.stdout.startswith("-plugin "), done
            said = "cannot load the agent: it is built without plugins. QEMU 9.1 or newer, built with plugins, is needed" in done.stderr
            assert said == lacks and bool(done.stderr) == lacks, done


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", required=True)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--only", nargs="*")
    words = parser.parse_args()
    failures = 0
    if not words.only or "without" in words.only:
        try:
            without_plugins(words.probe, words.agent)
            print("ok    without plugins", flush=True)
        except AssertionError as why:
            failures += 1
            print(f"FAIL  without plugins: {why}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        shapes = {"two CPUs, KPTI": ("", "pti=on memhp_default_state=offline")}
        if words.plain:  # as in a QEMU that exports nothing but the plugin interface
            shapes["the plugin interface alone"] = (",plain=on", "memhp_default_state=offline")
        for shape, (more, append) in shapes.items():
            machine = f"-plugin {words.agent},dir={folder}{more} -m 256M,slots=2,maxmem=1G -smp 2,maxcpus=4"
            with Guest(words.kernel, cpus=2, append=append, extra=machine, reboot=True) as guest:
                path = f"{folder}/agent-{guest.pid}.sock"
                tests = {"calls": lambda: calls(words.probe, guest), "replaced": lambda: replaced(words.probe, guest),
                         "second": lambda: second(words.probe, guest), "nonsense": lambda: nonsense(words.probe, guest, path),
                         "asked": lambda: asked(words.probe, guest), "thinned": lambda: thinned(words.probe, guest), "stopped": lambda: stopped_host(words.probe, guest), "slow": lambda: slow_reader(words.probe, guest), "late": lambda: late_host(words.probe, guest),
                         "memory": lambda: memory(words.probe, guest), "plugged": lambda: plugged(words.probe, guest), "writes": lambda: writes(words.probe, guest),
                         "resumes": lambda: resumes(words.probe, guest), "reset": lambda: reset(words.probe, guest),
                         "killed": lambda: killed(words.probe, guest, words.kills)}
                for name, test in tests.items():
                    if words.only and name not in words.only:
                        continue
                    begin = time.monotonic()
                    try:
                        test()
                        print(f"ok    {shape}: {name} ({time.monotonic() - begin:.1f} s)", flush=True)
                    except AssertionError as why:
                        failures += 1
                        print(f"FAIL  {shape}: {name}: {why}", flush=True)
                    for process in Watch.alive:
                        process.kill()
                        process.wait()
                    Watch.alive.clear()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
