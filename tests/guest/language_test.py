#!/usr/bin/env python3
"""The language against a real guest.

    language_test.py --vitrine build/bin/vitrine --kernel 6.1

Saved:   every example, and a script that goes through the kernel's types, becomes the same program
         on the live kernel and on its saved description (vitrine kernel).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(REPOSITORY / "guests")]

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
        self.program = str(program)
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
        if live.returncode != 0:
            fail(f"{name} is not sound on the live kernel:\n{live.stdout.decode()}{live.stderr.decode()}")
        elif live.stdout != again.stdout:
            fail(f"{name} is another program on the saved kernel:\n{live.stdout.decode()}\n--- saved ---\n{again.stdout.decode()}")
        else:
            programs += 1
    print(f"saved: {programs} of {len(scripts)} scripts become the same program; {kernel.stat().st_size:,} bytes", flush=True)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--vitrine", required=True)
    words.add_argument("--kernel", default="6.1")
    words = words.parse_args()
    vitrine = Vitrine(words.vitrine)
    with Guest(words.kernel, cpus=1, memory=256) as guest, tempfile.TemporaryDirectory() as folder:
        saved(vitrine, str(guest.pid), folder)
    print("failures:", len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
