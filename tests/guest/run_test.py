#!/usr/bin/env python3
"""vitrine run against a real guest, and against the guest's own account.

    run_test.py --vitrine build/bin/vitrine --probe build/bin/moment_probe --kernel 6.1

One boot: views and ProcessList against /proc, the moment's reader against /proc, types, maps,
requests, replacing, files, pipes and disks that fail, Ctrl-C, images, what is refused.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "guests")]

from vitrine_guests import Guest  # noqa: E402

failures = []
checked = 0


def check(condition, what, *more):
    global checked
    checked += 1
    if condition:
        return
    failures.append(what)
    print("FAILED", what, *more, flush=True)


class Vitrine:
    def __init__(self, program, folder):
        self.program = str(program)
        Path(folder, "run").mkdir(mode=0o700)
        self.environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "XDG_RUNTIME_DIR": str(Path(folder, "run")), "LANG": "C.UTF-8"}

    def start(self, *words, **more):
        return subprocess.Popen([self.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, **more)

    def __call__(self, *words, text=None, timeout=120):
        return subprocess.run([self.program, *words], input=text, capture_output=True, env=self.environment, timeout=timeout)

    def records(self, program, vm, *words):
        done = self("run", "--json", "-e", program, vm, "--duration", "10ms", *words)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        check(bool(lines) and lines[-1]["type"] == "end", "a JSON run ends with an end", program, done.stderr.decode())
        return lines


def status(process, name):
    for line in process["status"].splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1]
    return None


def is_name(told, process):
    """comm as the task has it: of the kernel's own threads /proc tells more."""
    name = process["comm"].rstrip("\n")
    if int(process["stat"].rsplit(")", 1)[1].split()[6]) & 0x00200000:
        return bool(told) and name.startswith(told)
    return told == name


def latin(text):
    """The bytes of a value in JSON, as the guest's account writes them."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def views(vitrine, vm, truth):
    lines = vitrine.records('Start { for (p in processes) Print("%d %d %s\\n", p.pid, p.uid, p.name)  for (p in processes) { @uids[p.uid] = count() @total += 1 } }', vm)
    rows = {line["values"][0]: line for line in lines if line["type"] == "print"}
    wanted = {int(pid): process for pid, process in truth["processes"].items() if process["status"]}
    check(set(rows) == set(wanted), "processes in a script are those of /proc", set(rows) ^ set(wanted))
    uids = {}
    for pid, process in wanted.items():
        uid = int(status(process, "Uid").split()[0])
        uids[uid] = uids.get(uid, 0) + 1
        if pid not in rows or "escaped" in rows[pid]:
            continue
        check(is_name(latin(rows[pid]["values"][2]), process), f"the name of {pid}", rows[pid]["values"], process["comm"])
        check(rows[pid]["values"][1] == uid, f"the uid of {pid}")
    maps = {line["map"]: line for line in lines if line["type"] == "map"}
    check({entry["key"][0]: entry["value"] for entry in maps["uids"]["entries"]} == uids, "a count by uid", maps["uids"], uids)
    check(maps["total"]["entries"][0]["value"] == len(wanted), "a map without keys")


def process_list(vitrine, vm, truth):
    lines = vitrine.records("Start { ProcessList(PID, NAME, PATH, PGDP, #l) }", vm)
    rows = {row["PID"]: row for row in lines[0]["processes"]}
    wanted = {int(pid): process for pid, process in truth["processes"].items() if process["status"]}
    check(set(rows) == set(wanted), "ProcessList has the processes of /proc", set(rows) ^ set(wanted))
    paths = 0
    for pid, process in wanted.items():
        exe = process.get("exe")
        if pid in rows and rows[pid]["PATH"] is not None and exe is not None:
            paths += 1
            check(latin(rows[pid]["PATH"]) == exe, f"the path of {pid}", rows[pid]["PATH"], exe)
    check(paths > 50, "paths were compared", paths)
    check(len({row["PGDP"] for row in rows.values() if row["PGDP"]}) > 50, "roots of page tables differ")
    # A key that contradicts the guest is used, and warned of.
    done = vitrine("run", "-e", "Configuration { ProcessNameOffset: 8 }\nStart { ProcessList(PID, NAME, #l) }", vm, "--duration", "10ms")
    check(b"ProcessNameOffset" in done.stderr, "a contradicting key is warned of", done.stderr.decode())
    check(b"kthreadd" not in done.stdout, "and used")


def moments(probe, vm, truth):
    done = subprocess.run([str(probe), vm], capture_output=True, timeout=120)
    check(done.returncode == 0 and done.stderr == b"", "the layout of the moment is whole on this kernel", done.stderr.decode())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    cpus = [row for row in rows if "cpu" in row]
    check(all(row["number"] == row["cpu"] and row["current"] >= 0 for row in cpus), "each CPU runs a task", cpus)
    told = {row["process.pid"]: row for row in rows if "process.pid" in row}
    btime = next(int(line.split()[1]) for line in truth["files"]["/proc/stat"].splitlines() if line.startswith("btime")) if "/proc/stat" in truth["files"] else None
    for pid, process in truth["processes"].items():
        row = told.get(int(pid))
        if process["status"] is None or row is None:
            check(process["status"] is None, f"{pid} is among the tasks")
            continue

        def same(name, value, wanted):
            check(value == wanted, f"{name} of {pid} ({process['comm'].strip()})", repr(value), repr(wanted))

        after = process["stat"].rsplit(")", 1)[1].split()
        same("thread.tid", row["thread.tid"], int(pid))
        same("ppid", row["process.ppid"], int(status(process, "PPid")))
        check(is_name(row["process.name"], process), f"the name of {pid}", row["process.name"], process["comm"])
        for name, place in (("uid", ("Uid", 0)), ("euid", ("Uid", 1)), ("gid", ("Gid", 0)), ("egid", ("Gid", 1))):
            same(name, row[f"process.{name}"], int(status(process, place[0]).split()[place[1]]))
        same("session", row["process.session"], int(after[3]))
        zombie = after[0] in "ZX"
        if not zombie:
            same("path", row["process.path"], process.get("exe"))
        line = (process.get("cmdline") or "").rstrip("\0").replace("\0", " ")
        if len(line) < 4000 and not zombie:
            same("cmdline", row["process.cmdline"] or "", line)
        ns = process.get("ns") or {}
        for name, kind in (("pid_namespace", "pid"), ("mount_namespace", "mnt"), ("network_namespace", "net"), ("user_namespace", "user")):
            if ns.get(kind) and row[f"process.{name}"] is not None:
                same(name, row[f"process.{name}"], int(ns[kind].split("[")[1].rstrip("]")))
        unified = [each[3:] for each in (process.get("cgroup") or "").splitlines() if each.startswith("0::")]
        if unified:
            same("cgroup", row["process.cgroup"], unified[0])
        same("kernel_thread", row["process.kernel_thread"], int(int(after[6]) & 0x00200000 != 0))
        if btime is not None:
            started = row["process.start_time"] / 1e9
            check(abs(started - (btime + int(after[19]) / 100)) < 1.5, f"start_time of {pid}", started)
    print(f"moments: {len(told)} processes", flush=True)


def types(vitrine, vm, truth):
    text = """
    Start {
        let first = (struct task_struct *)init_task
        Print("%s %d %d\\n", first->comm, first->pid, first->prio)
        Print("%s\\n", string(linux_banner, 200))
        Print("%s %s\\n", u64(0x10), missing(u64(0x10)))
        Print("%d\\n", ((struct rq *)per_cpu(runqueues, 1))->cpu)
        Print("%s\\n", symbol(linux_banner + 3))
        if (u64(0x10) == 0) { Print("a bad address is zero\\n") }
        if (!(u64(0x10) == 0)) { Print("a bad address is not zero\\n") }
        Print("%d %d\\n", phys.u8(0), 10 / (len(first->comm) - 9))
    }"""
    prints = [line for line in vitrine.records(text, vm) if line["type"] == "print"]
    said = [line["text"] for line in prints]
    check(said[0].startswith("swapper/0 0 "), "init_task by its type", said[0])
    check(latin(said[1]) == truth["files"]["/proc/version"].split("\n")[0] + "\n\n" or said[1].startswith("Linux version"), "the banner")
    check(prints[2]["values"] == [None, True], "a bad address is missing", prints[2])
    check(said[3] == "1\n", "a per-CPU variable of the second CPU", said[3])
    check(said[4] == "linux_banner+0x3\n", "a symbol by its address", said[4])
    check(not any("a bad address" in each for each in said), "a missing value makes a condition and its contrary false")
    check(prints[-1]["values"][1] is None, "a division by zero is missing")


def session(vitrine, vm, folder):
    script = Path(folder, "one.vmi")
    script.write_text('Start { Print("first\\n") }\nEvery(20ms) { @ticks = count() }\nOnExternalRequest(7) { Print("asked %d\\n", event.request) }\nStop { Print("old ends\\n") }\n')
    running = vitrine.start("run", str(script), vm)
    deadline = time.time() + 30
    while time.time() < deadline and vitrine("request", vm, "7").returncode != 0:
        time.sleep(0.1)
    other = vitrine("request", vm, "8")
    check(other.returncode == 1 and b"there are 7" in other.stderr, "a request that nobody waits for", other.stderr)
    check(vitrine("request", vm, "64").returncode == 2, "a request beyond 63")
    bad = Path(folder, "bad.vmi")
    bad.write_text("Every(1s) { Prnt(1) }")
    done = vitrine("run", "--replace", str(bad), vm)
    check(done.returncode == 1 and b"Print" in done.stderr, "a script with a mistake replaces nothing", done.stderr)
    two = Path(folder, "two.vmi")
    two.write_text('Start { Print("second\\n") }\nEvery(20ms) { @more = count() }\n')
    done = vitrine("run", "--replace", str(two), vm)
    check(done.returncode == 0, "replacing", done.stderr)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    text = out.decode()
    order = [text.find(word) for word in ("first", "asked 7", "old ends", "@ticks", "second", "@more")]
    check(all(at >= 0 for at in order) and order == sorted(order), "the old ends, then the new begins; Ctrl-C prints its maps", text)
    check(running.returncode == 0, "Ctrl-C is an end as others are", running.returncode, err)
    left = [each for each in os.listdir(Path(folder, "run", "vitrine")) if each.endswith(".sock")]
    check(not left, "the socket goes with the script", left)
    stopped = vitrine("run", "-e", 'Every(10ms) { @n += 1 if (@n == 3) { Print("enough") Stop() Print("never") } }', vm)
    check(stopped.stdout == b"enough\n@n: 3\n", "Stop() ends it", stopped.stdout)


def outputs(vitrine, vm, folder):
    path = Path(folder, "out.txt")
    path.write_text("before")
    done = vitrine("run", "-e", f'Start {{ Print("said") ReadRegister(CR3, {path}) ReadRegister(CR3, /no/such/folder/x) }}', vm, "--duration", "10ms")
    check(done.returncode == 1 and done.stdout == b"" and path.read_text() == "before", "a file that cannot be written: nothing starts, nothing changes", done)
    done = vitrine("run", "-e", f"Start {{ ReadRegister(CR3, {path}) }}", vm, "--duration", "10ms")
    check(" CR3=0x" in path.read_text() and "before" not in path.read_text(), "a file", path.read_text())
    done = vitrine("run", "-e", "Every(5ms) { ReadRegister(CR3, /dev/full) }", vm, "--duration", "200ms")
    check(done.returncode == 3 and b"No space left on device" in done.stderr and b"records lost" in done.stderr, "a full disk is counted", done)
    named = Path(folder, "chan.txt")
    done = vitrine("run", "-e", 'Start { Print(#c, "to a file\\n") Print(#d, "to here\\n") }', vm, "--duration", "10ms", "--channel", f"c={named}")
    check(named.read_text() == "to a file\n" and done.stdout == b"#d to here\n", "channels", done.stdout)
    first = subprocess.run(f"'{vitrine.program}' run -e 'Every(1ms) {{ Print(\"line\\n\") }}' {vm} | head -1", shell=True, env=vitrine.environment, capture_output=True, timeout=60)
    check(first.stdout == b"line\n", "a reader that leaves ends the run")
    check(b"crash" not in first.stderr, "quietly", first.stderr)


def standard_descriptors(vitrine, vm):
    """Closed or left by their readers, or with a signal to end: nothing goes on unseen, nothing is written elsewhere."""
    for closed in (">&-", "<&- >&-", "2>&- >&-"):
        done = subprocess.run(f"'{vitrine.program}' run -e 'Start {{ Print(\"line\\n\") Stop() }}' {vm} {closed}", shell=True, env=vitrine.environment, capture_output=True, timeout=60)
        check(done.returncode == 1 and (b"Bad file descriptor" in done.stderr or "2>&-" in closed), f"closed: {closed}", done)
    begin = time.time()
    done = subprocess.run(f"yes 1+1 | '{vitrine.program}' repl {vm} | head -1", shell=True, env=vitrine.environment, capture_output=True, timeout=60)
    check(done.stdout == b"2\n" and done.stderr.count(b"\n") < 3 and time.time() - begin < 30, "a prompt whose reader left ends", done)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        prompt = vitrine.start("repl", vm, stdin=subprocess.PIPE)
        prompt.stdin.write(b"1\nEvery(1ms) { @n = count() }\n2\n")
        prompt.stdin.flush()
        prompt.stdout.readline()  # the first entry: the second runs from here on
        time.sleep(0.5)
        prompt.send_signal(number)
        out = prompt.communicate(timeout=60)[0]
        check(prompt.returncode == 1 and b"@n: " in out and b"2" not in out.splitlines(), f"signal {number} ends the prompt and not one entry of it", prompt.returncode, out)


def limits(vitrine, vm):
    def nest(depth):
        return "Start { @begun = 1 " + "".join(f"for (i{n} in 0..1000000) {{ " for n in range(depth)) + "@rounds += 1 " + "}" * (depth + 1)

    depth = next(depth for depth in range(200, 0, -1) if vitrine("check", "-e", nest(depth)).returncode == 0)
    begin = time.time()
    lines = vitrine.records(nest(depth), vm)
    took = time.time() - begin
    end = lines[-1]
    check(end["probes"][0]["over_budget"] == 1 and any("budget" in word for word in end["words"]), "the deepest nest ends by the budget, counted and told", end)
    check(any(line["type"] == "note" and "budget" in line["text"] for line in lines), "told when it happens")
    print(f"limits: a nest of {depth} loops ended after {took:.1f} s, the start of the program included", flush=True)
    lines = vitrine.records("Start { for (i in 0..100000) { @m[i] = i } }", vm)
    lost = next(line for line in lines if line["type"] == "map")["lost"]
    check(lost == 100000 - 65536, "entries that found no room are counted", lost)


def refused(vitrine, vm):
    for program, words in (
        ('Start { Print("never") }\nMSRWrite(LSTAR) { Print("x") }', (b"line 2: MSRWrite", b"qemu-args")),
        ('Start { Print("never") ReadVMCS(VM_EXIT_REASON, #v) }', (b"line 1: ReadVMCS",)),
        ('Start { Print("never") }\nCaptureNetwork(*, #net)', (b"line 2", b"file")),
    ):
        done = vitrine("run", "-e", program, vm, "--duration", "10ms")
        check(done.returncode == 1 and done.stdout == b"" and all(word in done.stderr for word in words), f"refused by its line: {program!r}", done)
    done = vitrine("run", "-e", "Start { Pause() }", vm)
    check(done.returncode == 1 and b"--allow-control" in done.stderr, "permissions", done.stderr)
    done = vitrine("run", "-e", "Start { }", "no-such-machine")
    check(done.returncode == 1 and b"no-such-machine" in done.stderr, "a machine that is not there")


def images(vitrine, guest, folder):
    image = Path(folder, "memory.elf")
    guest.dump(str(image))
    done = vitrine("run", "-e", 'Start { for (p in processes) if (p.pid == 1) Print("%s\\n", p.name) }\nStop { Print("end\\n") }', str(image))
    check(done.stdout == b"init\nend\n", "an image: Start once, then Stop", done)
    done = vitrine("run", "-e", "Every(1s) { @n = count() }", str(image))
    check(done.returncode == 1 and b"nothing happens in it" in done.stderr, "an image has no clock", done.stderr)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--vitrine", required=True)
    words.add_argument("--probe", required=True)
    words.add_argument("--kernel", default="6.1")
    words = words.parse_args()
    with Guest(words.kernel, cpus=2, memory=256) as guest, tempfile.TemporaryDirectory() as folder:
        vitrine = Vitrine(words.vitrine, folder)
        vm = str(guest.pid)
        truth = guest.truth()
        with guest.paused():
            views(vitrine, vm, truth)
            process_list(vitrine, vm, truth)
            moments(words.probe, vm, truth)
            types(vitrine, vm, truth)
        session(vitrine, vm, folder)
        outputs(vitrine, vm, folder)
        standard_descriptors(vitrine, vm)
        limits(vitrine, vm)
        refused(vitrine, vm)
        images(vitrine, guest, folder)
    print(f"{words.kernel}: {checked} checks, {len(failures)} failed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
