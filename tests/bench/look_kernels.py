"""./dev bench look --only kernels, --only shapes: every kernel that Debian's archive has, and machines of many shapes, each of
them booted and compared.

Of each suite, series and flavour the newest; one that two suites share is looked at once. Kernels that are fetched for
this are taken out of the cache again. 32-bit kernels must be refused with a word.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitrine_guests import GuestError, kernels

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = (
    "bullseye", "bullseye-security", "bookworm", "bookworm-security", "bookworm-backports",
    "trixie", "trixie-security", "trixie-backports", "forky", "sid", "experimental",
)  # fmt: skip
# What look_test.py is asked for beside the default (q35, -cpu max: 5 levels of page tables, anonymous memory, 1 CPU, 256 MiB).
# Not a microvm: the recipe's guests need a serial port by PCI.
SHAPES = (
    "--machine pc --cpus 4", "--cpus 8 --memory 512", "--cpu qemu64", "--cpu max,la57=off", "--cpu Skylake-Server-v4",
    "--memory 128 --views processes threads modules", "--memory 3584 --backend memfd", "--memory 5120 --backend file", "--backend numa2 --memory 512 --cpus 2",
    "--append nokaslr", "--append nopti", "--append mem=200M", "--append pti=on --cpus 2", "--extra=-sandbox\\ on", "--no-qmp --views processes threads files maps sockets modules mounts interfaces kernel kernel_log symbols syscall_table",
    "--machine q35,smm=off", "--extra=-m\\ 256M,slots=2,maxmem=4G", "--extra=-machine\\ vmport=off,hpet=off",
)  # fmt: skip
REFUSED = ("bullseye:5.10:686-pae", "bullseye:5.10:686", "bookworm:6.1:686-pae")


def kernel_matrix(vitrine, suites=SUITES, cpus=2):
    """Prints a line for each kernel. Returns how many of them had a difference or could not be looked at."""
    print("Kernels: every row and column against the guest's own account")
    wrong, seen = 0, set()
    for label in [label for suite in suites for label in kernels.offered(suite)]:
        mine = kernels.cached(label) is None
        try:
            release = kernels.fetch(label).release
            if release in seen:
                continue
            seen.add(release)
            wrong += not compared(vitrine, label, release, cpus)
        except GuestError as error:
            wrong += 1
            print(f"  {label:<36} {str(error).splitlines()[0]}", flush=True)
        finally:
            if mine:
                kernels.forget(label)
    for label in REFUSED:
        wrong += not refused(vitrine, label)
    print(f"  {len(seen)} kernels")
    return wrong


def shape_matrix(vitrine, label, shapes=SHAPES):
    """The same for one kernel in machines of many shapes. Prints a line for each; returns how many were not as they should be."""
    print(f"Shapes: Linux {label}, every row and column against the guest's own account")
    wrong = 0
    for shape in shapes:
        begin = time.monotonic()
        command = [sys.executable, ROOT / "tests/guest/look_test.py", "--vitrine", vitrine, "--kernels", label, "--cpus", "1", *shlex.split(shape)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        wrong += done.returncode != 0
        print(f"  {shape:<56} {words(done)}, {time.monotonic() - begin:.0f} s", flush=True)
    return wrong


def words(done):
    """A run of look_test.py in some words; all of them where it found something."""
    found = re.search(r"(\d+) rows compared, (\d+) differences", done.stdout)
    if found and done.returncode == 0:
        return f"{found[1]:>7} rows, {found[2]} differences"
    return f"FAILED\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


def compared(vitrine, label, release, cpus):
    begin = time.monotonic()
    command = [sys.executable, ROOT / "tests/guest/look_test.py", "--vitrine", vitrine, "--kernels", label, "--cpus", str(cpus), "--memory", "384"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    print(f"  {label:<36} {release:<28} {words(done)}, {time.monotonic() - begin:.0f} s", flush=True)
    return done.returncode == 0


def refused(vitrine, label):
    """Boots a 32-bit kernel as far as it goes without a program to start, and asks for its processes."""
    kernel = kernels.fetch(label)
    name = f"kernels-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console"
        process = subprocess.Popen(
            ["qemu-system-x86_64", "-name", name, "-m", "256", "-display", "none", "-nodefaults", "-serial", f"file:{console}",
             "-kernel", kernel.image, "-append", "console=ttyS0"]
        )  # fmt: skip
        try:
            for _ in range(120):
                time.sleep(0.5)
                if console.exists() and b"Kernel panic" in console.read_bytes():
                    break
            done = subprocess.run([vitrine, "ps", name], capture_output=True, text=True, timeout=60)
        finally:
            process.kill()
            process.wait()
    ok = done.returncode == 1 and "32-bit" in done.stderr and not done.stdout
    print(f"  {label:<36} {kernel.release:<28} {'refused' if ok else 'NOT REFUSED'}: {done.stderr.strip().splitlines()[:1]}", flush=True)
    return ok
