#!/usr/bin/env python3
"""The language against a real guest.

    language_test.py --vitrine build/bin/vitrine --kernel 6.1

Saved:     every example, and a script that goes through the kernel's types, becomes the same program
           on the live kernel and on its saved description (vitrine kernel).
Plan:      check --vm tells for every probe of every example its source, or why there is none; run obeys.
Examples:  each script of examples/ and each one-liner of docs/one-liners.md runs, while the guest does
           what it watches for, and prints what it should. A script whose events nobody offers on this
           machine must be refused by line; it is named in the last lines.
Rows:      the reference, row by row (language_rows.py).
Prompt:    vitrine repl, from a pipe.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(REPOSITORY / "guests"), str(HERE)]

import language_rows  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

# Anonymous members, bit fields, unions, arrays, per-CPU variables, enumerators, typedefs.
TYPES = """
ExecuteAt(do_exit) {
    let task = thread.task
    Print("%s %d %d %d\\n", task->comm, task->pid, task->exit_code, task->mm->mm_users.counter)
    Print("%d %d\\n", task->in_execve, task->sched_reset_on_fork)
    Print("%x %d\\n", task->signal->rlim[7].rlim_cur, task->se.load.weight)
    Print("%s\\n", string(task->mm->exe_file->f_path.dentry->d_name.name))
    Print("%d %d\\n", ((struct rq *)per_cpu(runqueues))->nr_running, PIDTYPE_MAX)
    Print("%d %d\\n", sizeof(struct task_struct), offsetof(struct task_struct, comm))
    Print("%d\\n", (pid_t)arg0)
    Print("%d\\n", task->cred->uid.val)
}
"""

failures = []


class Vitrine:
    def __init__(self, program):
        self.program = str(Path(program).resolve())
        self.cache = tempfile.TemporaryDirectory()
        self.environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": self.cache.name, "LANG": "C.UTF-8"}

    def run(self, *words, text=None, timeout=120):
        return subprocess.run([self.program, *words], input=text, capture_output=True, env=self.environment, timeout=timeout)


def fail(what):
    failures.append(what)
    print("FAILED", what, flush=True)


def saved(vitrine, vm, folder):
    kernel = Path(folder, "kernel")
    kernel.write_bytes(vitrine.run("kernel", vm).stdout)
    scripts = {"the types": TYPES}
    for path in sorted(REPOSITORY.glob("examples/*.vmi")):
        scripts[path.name] = path.read_text()
    programs = 0
    for name, text in scripts.items():
        live, again = (vitrine.run("check", "-", "--program", *which, text=text.encode()) for which in (("--vm", vm), ("--kernel", str(kernel))))
        # The plan follows the program on a machine; that some of it cannot be had is another matter.
        lives = live.stdout.split(b"LINE  PROBE")[0]
        if b"sound on Linux" not in lives:
            fail(f"{name} is not sound on the live kernel:\n{live.stdout.decode()}{live.stderr.decode()}")
        elif lives != again.stdout:
            fail(f"{name} is another program on the saved kernel:\n{live.stdout.decode()}\n--- saved ---\n{again.stdout.decode()}")
        else:
            programs += 1
    print(f"saved: {programs} of {len(scripts)} scripts become the same program; {kernel.stat().st_size:,} bytes", flush=True)


# What each script prints, at least, when it runs for a few seconds on a guest that is kept busy. Where
# a script prints only what is wrong, a healthy guest prints nothing.
NOTHING = r"\A\s*\Z"
PRINTS = {
    "address_spaces.vmi": r"@switches",
    "capture.vmi": r"#console.*vitrine was here",
    "classic_processes.vmi": r"#?processes.*\binit\b|PID.*1",
    "classic_system_calls.vmi": r"calls",
    "connections.vmi": r"@seconds",
    "connects.vmi": r"^nc\[\d+\] -> 127\.0\.0\.1:9$",
    "deleted_programs.vmi": r"^\d+ exe-deleted /tmp/a directory/exe-deleted",
    "execs.vmi": r" -> /",
    "exit_codes.vmi": r"@failed|@killed",
    "failed_opens.vmi": r"nowhere +-2",
    "kernel_function.vmi": r"@opens",
    "kernel_log.vmi": r"^\[.+\] err: vitrine was here",
    "kills.vmi": r"sends signal",
    "latency.vmi": r"@latency",
    "listeners.vmi": r"tcp +\S+:\d+ ",
    "memory_hogs.vmi": r"@kib",
    "modules.vmi": r"loaded dummy, \d+ bytes at ffffffffc0(.|\n)*unloaded dummy|unloaded dummy(.|\n)*loaded dummy, \d+ bytes at ffffffffc0",
    "on_request.vmi": r"@open",
    "opens.vmi": r"\d+ /",
    "process_life.vmi": r"exec +\d+ ",
    "processes.vmi": r"PID +PPID",
    "processor_time.vmi": r"@ms",
    "profile.vmi": r"@stacks",
    "root_shells.vmi": r"^\d+ sh on \?, of login uid \?: sh -c sleep 9999; echo left-here$",
    "run_queues.vmi": r"@waiting",
    "system_call_entry.vmi": r"^swapper/1: LSTAR [0-9a-f]+ -> ffffffff[0-9a-f]{8}$",
    "system_call_table.vmi": r"system call table of \d{3} entries",
    "system_calls.vmi": r"\w +\w+ +\d",
    "table_writes.vmi": NOTHING,
    "uptime.vmi": r"Linux \d+\.\d+.*\n(.*\n)*\d+ ticks passed",
    "walk_tasks.vmi": r"@tasks: \d{2,}",
    "writable_code.vmi": r"^pid \d+: [0-9a-f]+ to [0-9a-f]+(.|\n)*@bytes:\n +\d+ +12288\b",
    "write_sizes.vmi": r"@sizes",
    "one-liner 1": r"hello from outside",
    "one-liner 2": r"     1 ",
    "one-liner 3": r"tcp +LISTEN +\d",
    "one-liner 4": r"@seconds",
    "one-liner 5": r"@sizes",
    "one-liner 6": r"jiffies \d+, at jiffies",
    "one-liner 7": r"swapper/0, then init",
    "one-liner 8": r"^\d+ \S",
    "one-liner 9": r"/",
    "one-liner 10": r"@latency",
    "one-liner 11": r"@exits",
    "one-liner 12": NOTHING,
}
REQUESTS = {"classic_processes.vmi": "1", "on_request.vmi": "2"}
# What the guest does, again and again, while one of them runs; and what it did before all of them.
ACTS = {
    "capture.vmi": "echo '<3>vitrine was here' > /dev/kmsg",
    "connects.vmi": "nc -w 1 127.0.0.1 9 < /dev/null",
    "kernel_log.vmi": "echo '<3>vitrine was here' > /dev/kmsg",
    "modules.vmi": "rmmod dummy; modprobe dummy numdummies=0 || insmod $(find /lib/modules -name 'dummy.ko*')",
    "system_call_entry.vmi": "echo 0 > /sys/devices/system/cpu/cpu1/online; echo 1 > /sys/devices/system/cpu/cpu1/online",
}
BEFORE = "sh -c 'sleep 9999; echo left-here' > /dev/null 2>&1 < /dev/null &"


def one_liners():
    text = (REPOSITORY / "docs/one-liners.md").read_text()
    return {f"one-liner {number}": block for number, block in enumerate(re.findall(r"```vmi\n(.*?)```", text, re.S), 1)}


class Stir:
    """Keeps the guest busy: processes that start, look for files, read, write, signal and fail."""

    WORK = "for i in 1 2 3 4 5; do cat /proc/uptime > /dev/null; cat /nowhere; /bin/busybox true; sleep 0.1 & kill -15 $!; wait; false; done 2> /dev/null"

    def __init__(self, guest):
        self.guest, self.over, self.act = guest, threading.Event(), ""
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            self.guest.run(f"({self.act}) > /dev/null 2>&1; sleep 0.3" if self.act else self.WORK)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)


def planned(vitrine, vm, name, text):
    """The plan's probes; a refusal must say why."""
    done = vitrine.run("check", "-", "--vm", vm, "--json", text=text.encode())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    probes = [row for row in rows if row["type"] == "probe"]
    if not probes:
        fail(f"{name} has no plan: {done.stdout.decode()}{done.stderr.decode()}")
    for probe in probes:
        if probe["source"] is None and not probe["reason"]:
            fail(f"{name}: {probe['probe']} is refused without a reason")
    table = vitrine.run("check", "-", "--vm", vm, text=text.encode()).stdout.decode()
    if any(len(line) > 80 for line in table.splitlines() if "sound on Linux" not in line):
        fail(f"{name}: the plan's table is wider than 80 columns:\n{table}")
    return probes


def examples(vitrine, vm, guest, seconds, only=None):
    scripts = {path.name: path.read_text() for path in sorted(REPOSITORY.glob("examples/*.vmi"))}
    scripts.update(one_liners())
    missing = set(scripts) ^ set(PRINTS)
    if missing:
        fail(f"not told what they print, or not there: {sorted(missing)}")
    if only:
        scripts = {name: text for name, text in scripts.items() if name in only}
    ran, refused = [], {}
    guest.run(BEFORE)
    with tempfile.TemporaryDirectory() as folder, Stir(guest) as stir:
        for name, text in scripts.items():
            probes = planned(vitrine, vm, name, text)
            script = Path(folder, "script.vmi")
            script.write_text(text)
            asker = None
            if name in REQUESTS:
                asker = threading.Timer(1.5, lambda: vitrine.run("request", vm, REQUESTS[name]))
                asker.start()
            stir.act = ACTS.get(name, "")
            length = 6 if "memory_hogs" in name or name in ACTS else seconds
            began = time.monotonic()
            done = subprocess.run([vitrine.program, "run", str(script), vm, "--duration", f"{length}s"], capture_output=True,
                                  env=vitrine.environment, timeout=120, cwd=folder)
            took = time.monotonic() - began
            out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
            if asker:
                asker.join()
            cannot = [probe["probe"] for probe in probes if probe["source"] is None]
            if cannot:
                if done.returncode == 0 or "line" not in err or "cannot be had" not in err:
                    fail(f"{name}: {cannot} cannot be had, and run does not say so: status {done.returncode}\n{out}{err}")
                refused[name] = cannot
            elif done.returncode not in (0, 3):
                fail(f"{name}: status {done.returncode}\n{out}{err}")
            elif not re.search(PRINTS[name], out, re.M):
                fail(f"{name} does not print {PRINTS[name]!r}:\n{out[:2000]}{err}")
            elif took > length + 20:
                fail(f"{name}: took {took:.0f} s")
            else:
                ran.append(name)
    print(f"examples: {len(ran)} of {len(scripts)} scripts ran and printed what they should", flush=True)
    return refused


def prompt(vitrine, vm):
    text = b"""1 + 2
const kib = 1024
fn double(x) = 2 * x
double(kib)
for (p in processes) {
    if (p.pid == 1) Print("first %s\\n", p.name)
}
((struct task_struct *)init_task)->comm
:probes Start
kernel
"""
    done = vitrine.run("repl", vm, text=text)
    out = done.stdout.decode()
    for wanted in ("3\n", "2048\n", "first init\n", "swapper/0\n", "once, when the script is attached", "RELEASE"):
        if wanted not in out:
            fail(f"repl does not print {wanted!r}:\n{out}{done.stderr.decode()}")
    if done.returncode != 0:
        fail(f"repl: status {done.returncode}: {done.stderr.decode()}")
    wrong = vitrine.run("repl", vm, text=b"u64(\"a\")\n1\n")
    if wrong.returncode != 1 or b"E102" not in wrong.stderr or b"1\n" not in wrong.stdout:
        fail(f"repl does not go on after a mistake, or hides it: {wrong}")
    print("prompt: expressions, statements, declarations, views, mistakes", flush=True)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--vitrine", required=True)
    words.add_argument("--kernel", default="6.1")
    words.add_argument("--seconds", type=int, default=3, help="how long each example runs")
    words.add_argument("--only", nargs="*", default=["saved", "examples", "rows", "prompt"])
    words.add_argument("--scripts", nargs="*", help="only these examples")
    words = words.parse_args()
    vitrine = Vitrine(words.vitrine)
    # With the agent, where it is built: then events can be had.
    agent = vitrine.run("qemu-args")
    extra = agent.stdout.decode().strip() if agent.returncode == 0 else ""
    refused = {}
    with Guest(words.kernel, cpus=2, memory=256, extra=extra) as guest, tempfile.TemporaryDirectory() as folder:
        vm = str(guest.pid)
        if "saved" in words.only:
            saved(vitrine, vm, folder)
        if "examples" in words.only:
            refused = examples(vitrine, vm, guest, words.seconds, words.scripts)
        if "rows" in words.only:
            language_rows.rows(vitrine, vm, guest, fail)
        if "prompt" in words.only:
            prompt(vitrine, vm)
    print("the agent:", extra or "not there")
    for name, probes in refused.items():
        print(f"refused, by line, as nobody offers it on this machine: {name}: {', '.join(probes)}")
    print("failures:", len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
