"""./dev bench look --only peers: `ps` of crash and a list of all tasks by drgn, beside ours on the image of the same moment.

Compared is only what lists the same tasks. crash 8.0.2 does so on 5.10; of Debian's later 6.1 kernels it lists the
idle task alone, and says nothing.
"""

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitrine_guests import Guest, kernels

RUNS = 3
DRGN = """import drgn, sys
from drgn.helpers.linux.pid import for_each_task
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
for task in for_each_task(program):
    print(task.pid.value_(), task.comm.string_())
"""


def python_with_drgn():
    """Debian's package is for Debian's python."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import drgn"], capture_output=True).returncode == 0:
            return python
    return None


def processor_time():
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime


def timed(command, cache):
    """((wall time, processor time), what it printed). The second says something on a busy machine, too."""
    begin, used = time.perf_counter(), processor_time()
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=1800, env=dict(os.environ, XDG_CACHE_HOME=cache)
    )
    return (time.perf_counter() - begin, processor_time() - used), done


def listed(output):
    """The pids of what a peer printed; idle tasks have 0, which we do not list."""
    return sorted({int(found[1]) for line in output.splitlines() if (found := re.match(r">?\s*(\d+)\s", line))} - {0})


def peers(vitrine, label):
    """Prints a line for each peer. Returns how many had other tasks than we have."""
    crash, python = shutil.which("crash"), python_with_drgn()
    debug = kernels.debug_image(label)
    wrong = 0
    # The device is for drgn, which takes no image without the kernel's own word of where it is.
    with Guest(label, memory=1024, backend="memfd", extra="-device vmcoreinfo") as guest, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        image, paged = f"{folder}/memory.elf", f"{folder}/paged.elf"
        guest.run("modprobe qemu_fw_cfg")
        guest.pause()
        guest.dump(image)
        guest.dump(paged, paging=True)  # drgn needs the page tables in it
        Path(folder, "ps.crash").write_text("ps\nquit\n")
        Path(folder, "tasks.py").write_text(DRGN)
        ours = timed([vitrine, "threads", image, "--json"], folder)[1].stdout.splitlines()  # the cache is warm from here on
        tasks = sorted(json.loads(line)["tid"] for line in ours)
        print(f"Peers: Linux {label}, 1 GiB, {len(tasks)} tasks, image of one moment; medians of {RUNS}, in turn")
        commands = {
            "crash, ps": [crash, "-s", "-i", f"{folder}/ps.crash", debug, image] if crash else None,
            "drgn, every task's pid and name": [python, f"{folder}/tasks.py", paged, debug] if python else None,
        }
        for what, command in commands.items():
            if command is None:
                print(f"  {what}: not installed")
                continue
            runs = {"theirs": [], "ps": [], "threads": []}
            for _ in range(RUNS):
                took, done = timed(command, folder)
                runs["theirs"].append(took)
                for name in ("ps", "threads"):
                    runs[name].append(timed([vitrine, name, image, "--json"], folder)[0])
            if listed(done.stdout) != tasks:
                wrong += 1
                print(f"  {what}: no comparison, it lists {len(listed(done.stdout))} tasks; {done.stderr.strip().splitlines()[-2:]}")
                continue
            print(f"  {what}: the same tasks as we list")
            for column, measure in enumerate(("wall time", "processor time")):
                theirs, ps, threads = (statistics.median(each[column] for each in runs[name]) * 1000 for name in ("theirs", "ps", "threads"))
                print(f"    {measure:<15} {theirs:8.0f} ms; our ps {ps:6.0f} ms: {theirs / ps:4.0f} times; our threads {threads:6.0f} ms: {theirs / threads:4.0f} times")
    return wrong
