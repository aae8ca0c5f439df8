#!/usr/bin/env python3
"""Looks at real guests where things are not as in a test: firmware, containers, memory of other kinds, no rights, an end in the midst.

    places_test.py --vitrine build/bin/vitrine [TestCase.test ...]

What a host lacks (OVMF, hugepages, root) is skipped by name.
"""

import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import fcntl
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from look_test import OVMF, Report, Vitrine, collect, compare_views  # noqa: E402
from vitrine_guests import Guest, initramfs, kernels  # noqa: E402
from vitrine_guests.cache import cache_dir  # noqa: E402

VITRINE = Path("build/bin/vitrine")
KERNEL = "6.1"
HUGE = Path("/proc/sys/vm/nr_hugepages")
IS_ROOT = os.geteuid() == 0
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Case(unittest.TestCase):
    def setUp(self):
        cache = tempfile.mkdtemp(prefix="vitrine-places-")
        self.addCleanup(shutil.rmtree, cache, True)
        self.vitrine = Vitrine(VITRINE, cache)

    def guest(self, **options):
        guest = Guest(options.pop("kernel", KERNEL), **options)
        self.addCleanup(guest.close)
        return guest.boot(timeout=240)

    def run_it(self, *words, prefix=(), timeout=60):
        done = subprocess.run([*prefix, self.vitrine.program, *words], capture_output=True, text=True, env=self.vitrine.environment, timeout=timeout)
        self.assertGreaterEqual(done.returncode, 0, done.stderr)
        return done

    def assert_equal_to_the_guest(self, guest, views=("processes", "threads", "files", "maps", "modules", "kernel", "mounts", "interrupts", "cpus")):
        # On a host that is too busy a guest's clocks leap between its word and the pause: CPU times do, too.
        for _ in range(3):
            more = collect(guest)
            truth = guest.truth()
            report = Report()
            with guest.paused():
                compare_views(self.vitrine, guest.name, truth | more, report, views)
            if report.wrong == 0:
                break
        self.assertEqual(report.wrong, 0)
        self.assertGreater(report.rows, 2500)

    def follower(self, guest):
        """One reader of processes that stays attached."""
        process = subprocess.Popen([Path(self.vitrine.program).with_name("look_probe"), "follow", guest.name, "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env=self.vitrine.environment)  # fmt: skip
        self.addCleanup(process.communicate, timeout=10)
        return process

    @staticmethod
    def look_of(follower):
        follower.stdin.write("\n")
        follower.stdin.flush()
        return json.loads(follower.stdout.readline())

    def facts(self, guest):
        return json.loads(self.run_it("info", guest.name, "--json").stdout)


class Machines(Case):
    @unittest.skipUnless(os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd"), "needs the package ovmf")
    def test_uefi(self):
        guest = self.guest(extra=OVMF)
        self.assert_equal_to_the_guest(guest)
        self.assertTrue(all(check["ok"] for check in self.facts(guest)["self_test"]))

    @unittest.skipUnless(os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd"), "needs the package ovmf")
    def test_uefi_without_a_monitor(self):
        """No SeaBIOS, so no table of the firmware's where one is looked for: the kernel's own decides."""
        guest = self.guest(extra=OVMF, qmp=False)
        facts = self.facts(guest)
        self.assertIn(True, [check["ok"] for check in facts["self_test"] if check["check"] == "inferred map"], facts)
        self.assert_equal_to_the_guest(guest, ("processes", "threads", "files", "maps"))

    def test_two_nodes_of_two_kinds_and_a_plugged_dimm(self):
        guest = self.guest(
            cpus=2, append="memhp_default_state=online",
            extra="-m 256M,slots=2,maxmem=2G -object memory-backend-memfd,id=n0,size=128M,share=on -object memory-backend-ram,id=n1,size=128M"
            " -numa node,memdev=n0,cpus=0-1 -numa node,memdev=n1",
        )  # fmt: skip
        before = self.facts(guest)["ram"]
        attached = self.follower(guest)
        self.assertEqual(self.look_of(attached)["beyond"], 0)
        self.assert_equal_to_the_guest(guest)
        guest.qmp("object-add", qom_type="memory-backend-ram", id="plug", size=128 << 20)
        guest.human("device_add pc-dimm,id=dimm,memdev=plug")
        total = "awk '/MemTotal/ {print $2}' /proc/meminfo"
        start = int(guest.run(total)[1])
        for _ in range(100):
            if int(guest.run(total)[1]) > start + 100_000:
                break
            time.sleep(0.2)
        # Who attached before sees the tasks that lie in it; and none of them is missing.
        guest.run("for i in $(seq 80); do sleep 1000 >/dev/null 2>&1 </dev/null & done")
        with guest.paused():
            seen = self.look_of(attached)
            fresh = self.look_of(self.follower(guest))
        self.assertGreater(seen["beyond"], 0)
        self.assertEqual(seen, fresh)
        self.assertEqual((seen["dropped"], seen["truncated"], seen["doubtful"], seen["warnings"]), (0, False, 0, 0))
        # More than the first two nodes have left: some of it is in the new one.
        guest.run("mkdir -p /tmp/fill && mount -t tmpfs -o size=220m fill /tmp/fill && dd if=/dev/zero of=/tmp/fill/a bs=1M count=150", timeout=400)
        facts = self.facts(guest)
        self.assertEqual(facts["ram"], before + (128 << 20))
        self.assert_equal_to_the_guest(guest)

    def test_hugepages(self):
        try:
            before = HUGE.read_text()
            HUGE.write_text("160\n")
            self.addCleanup(HUGE.write_text, before)
            if int(HUGE.read_text()) < 130:
                self.skipTest("this host gives no 256 MiB of 2 MiB pages")
        except OSError as error:
            self.skipTest(f"hugepages: {error}")
        for share in ("on", "off"):
            guest = self.guest(machine="q35,memory-backend=huge", extra=f"-object memory-backend-memfd,id=huge,size=256M,hugetlb=on,hugetlbsize=2M,share={share}")
            said = " ".join(self.facts(guest)["notes"])
            self.assertIn("shared mapping" if share == "on" else "process_vm_readv", said)
            self.assert_equal_to_the_guest(guest)
            guest.close()

    def test_firmware_alone(self):
        name = f"places-{os.getpid()}"
        process = subprocess.Popen(["qemu-system-x86_64", "-name", name, "-M", "q35", "-m", "64", "-display", "none", "-nodefaults"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        time.sleep(3)
        for words in (["ps", name], ["info", name], ["show", "symbols", name], ["top", name, "--count", "1"]):
            done = self.run_it(*words)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("firmware or boot loader", done.stderr)


@unittest.skipUnless(IS_ROOT, "needs root to make namespaces and become someone else")
class Rights(Case):
    def start(self, name, *more, prefix=()):
        """A guest of the recipe, started by hand; the first process is enough."""
        with_recipe = Guest(KERNEL)
        with_recipe.kernel = __import__("vitrine_guests.kernels", fromlist=["fetch"]).fetch(KERNEL)
        archive = __import__("vitrine_guests.initramfs", fromlist=["build"]).build(with_recipe.kernel)
        self.folder = tempfile.mkdtemp(prefix="vitrine-places-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.folder, True)
        os.chmod(self.folder, 0o755)
        for source, to in ((with_recipe.kernel.image, "kernel"), (archive, "initrd")):
            shutil.copy(source, f"{self.folder}/{to}")
            os.chmod(f"{self.folder}/{to}", 0o644)
        command = ["qemu-system-x86_64", "-name", name, "-M", "q35", "-m", "256", "-display", "none", "-nodefaults", "-kernel",
                   f"{self.folder}/kernel", "-initrd", f"{self.folder}/initrd", "-append", "panic=-1 console=ttyS0", *more]  # fmt: skip
        process = subprocess.Popen([*prefix, *command], start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(os.killpg, process.pid, signal.SIGKILL)
        return process

    def await_ps(self, name, prefix=(), seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done = self.run_it("ps", name, prefix=prefix, timeout=180)  # by the monitor, of a guest that boots
            if "kthreadd" in done.stdout:
                return done
            time.sleep(1)
        self.fail(done.stderr)

    def test_in_other_namespaces(self):
        """As in a container: another mount, pid and network namespace, and the monitor's socket where the host has none."""
        name = f"places-box-{os.getpid()}"
        script = 'mount -t tmpfs none /mnt && exec "$@"'
        self.start(name, "-qmp", "unix:/mnt/qmp.sock,server=on,wait=off",
                   prefix=["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"])  # fmt: skip
        self.await_ps(name)
        self.assertIn("told by QEMU", " ".join(json.loads(self.run_it("info", name, "--json").stdout)["notes"]))

    def test_ones_own_without_root(self):
        name = f"places-own-{os.getpid()}"
        self.start(name, prefix=NOBODY)
        self.await_ps(name, prefix=NOBODY)

    def test_one_that_gave_up_its_rights_is_read_through_the_monitor(self):
        """After setuid the kernel keeps a process closed to its own user, as Yama 1 would: the monitor is left."""
        name = f"places-dropped-{os.getpid()}"
        self.start(name, "-run-with", "user=nobody", "-qmp", "unix:/tmp/%s.sock,server=on,wait=off" % name)
        socket = Path(f"/tmp/{name}.sock")
        self.addCleanup(socket.unlink, True)
        for _ in range(100):
            if socket.exists():
                break
            time.sleep(0.1)
        socket.chmod(0o777)
        done = self.await_ps(name, prefix=NOBODY)
        self.assertIn("read through the monitor", done.stderr)
        socket.chmod(0o700)
        done = self.run_it("ps", name, prefix=NOBODY)
        self.assertEqual(done.returncode, 1)
        self.assertIn("CAP_SYS_PTRACE", done.stderr)

    def test_yama_as_a_guest_has_it(self):
        """kernel.yama.ptrace_scope is set in a guest, and a process there passes for a machine: what the program says of it."""
        with tempfile.TemporaryDirectory(prefix="vitrine-places-", dir="/var/tmp") as folder:
            machine = Path(folder) / "qemu-system-x86_64"
            source = (
                "#include <sys/mman.h>\n#include <string.h>\n#include <unistd.h>\nint main(void) {"
                " memset(mmap(0, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 16 << 20); pause(); }\n"
            )
            subprocess.run(["gcc", "-static", "-x", "c", "-", "-o", machine], input=source, text=True, check=True)
            program = Path(self.vitrine.program).resolve()
            setpriv = shutil.which("setpriv")  # by its path: busybox has one of its own
            nobody = " ".join([setpriv, *NOBODY[1:]])
            guest = self.guest(memory=512, programs=(str(machine), str(program), setpriv))
            self.assertEqual(guest.run(f"{nobody} {machine} -machine q35 -m 16 -name box >/dev/null 2>&1 </dev/null &")[0], 0)
            for scope in (0, 1, 2, 3):  # each is stricter than the one before
                self.assertEqual(guest.run(f"echo {scope} > /proc/sys/kernel/yama/ptrace_scope")[0], 0)
                for who, prefix in (("root", ""), ("owner", nobody)):
                    status, said = guest.run(f"{prefix} {program} ps box")
                    self.assertEqual(status, 1, said)
                    if scope == 3:
                        self.assertIn(b"closes every process", said)
                    elif scope == 0 or who == "root":
                        self.assertIn(b"no Linux kernel", said)
                    else:
                        self.assertIn(b"ptrace_scope is %d: use sudo" % scope, said)


class Terminal:
    """A program in a terminal of 80 columns and 24 lines."""

    def __init__(self, words, environment):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve(words[0], words, {**environment, "TERM": "xterm"})
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.text = b""
        self.status = None

    def read_until(self, what, seconds):
        """Reads until `what` shows (None: until the program ends)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (what and what in self.text):
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    part = os.read(self.master, 65536)
                except OSError:
                    part = b""
                if not part:
                    break
                self.text += part
        if what is None:
            end = time.monotonic() + 10
            while self.status is None and time.monotonic() < end:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.status = status if pid else None
                time.sleep(0.05)
        return self.text

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)


class Living(Case):
    def terminal(self, *words):
        terminal = Terminal([self.vitrine.program, *words], self.vitrine.environment)
        self.addCleanup(terminal.close)
        return terminal

    def test_a_reboot_under_top(self):
        guest = self.guest(reboot=True)
        terminal = self.terminal("top", guest.name, "--interval", "0.2")
        self.assertIn(b"Linux 6.1", terminal.read_until(b"kthreadd", 20))
        guest.human("system_reset")
        terminal.read_until(None, 90)
        self.assertIsNotNone(terminal.status, "top did not notice within 90 s")
        self.assertTrue(os.WIFEXITED(terminal.status) and os.WEXITSTATUS(terminal.status) == 1, terminal.status)
        said = terminal.text[-600:].decode(errors="replace")
        self.assertRegex(said, "reboot|another kernel|no longer")

    def test_a_kernel_that_starts_another(self):
        """kexec: no firmware and no reset between; the old kernel lies in RAM as it was left."""
        other = kernels.fetch("6.12")
        archive = initramfs.build(other)
        kexec = cache_dir() / "programs" / "kexec"
        subprocess.run(["gcc", "-static", "-O1", "-o", kexec, HERE / "kexec.c"], check=True)
        guest = self.guest(memory=512, programs=(str(kexec), str(other.image), str(archive)))
        self.assertEqual(self.facts(guest)["release"], guest.kernel.release)
        terminal = self.terminal("top", guest.name, "--interval", "0.2")
        self.assertIn(b"Linux 6.1.", terminal.read_until(b"kthreadd", 20))
        status, said = guest.run(f"{kexec} {other.image} {archive} 'console=ttyS0 panic=-1 loglevel=4'")
        self.assertEqual(status, 0, said)
        terminal.read_until(None, 90)
        self.assertIsNotNone(terminal.status, "top did not notice within 90 s")
        self.assertTrue(os.WIFEXITED(terminal.status) and os.WEXITSTATUS(terminal.status) == 1, terminal.status)
        self.assertRegex(terminal.text[-600:].decode(errors="replace"), "reboot|another kernel|no longer")
        guest.await_again()
        facts = self.facts(guest)
        self.assertEqual(facts["release"], other.release)
        self.assertTrue(all(check["ok"] for check in facts["self_test"]), facts["self_test"])
        self.assert_equal_to_the_guest(guest)

    def test_the_machine_dies_in_mid_read(self):
        for backend in ("anonymous", "memfd"):
            guest = self.guest(backend=backend)
            self.run_it("ps", guest.name)
            terminal = self.terminal("top", guest.name, "--interval", "0.05")
            terminal.read_until(b"kthreadd", 20)
            looks = [subprocess.Popen([self.vitrine.program, "show", view, str(guest.pid), "--json"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, env=self.vitrine.environment) for view in ("maps", "files", "symbols")]  # fmt: skip
            time.sleep(0.05)
            guest.close()
            for look in looks:
                _, errors = look.communicate(timeout=30)
                self.assertIn(look.returncode, (0, 1, 3), errors)
                self.assertTrue(look.returncode == 0 or errors.strip())
            terminal.read_until(None, 30)
            self.assertIsNotNone(terminal.status, f"top lives on without its machine ({backend})")
            self.assertTrue(os.WIFEXITED(terminal.status) and os.WEXITSTATUS(terminal.status) == 1,
                            (terminal.status, terminal.text[-500:]))

    def test_eighty_columns_and_jq(self):
        guest = self.guest()
        guest.pause()  # of a guest that runs, a view may rightly say that rows are in doubt
        for view in self.vitrine.views():
            terminal = self.terminal("show", view, guest.name)
            text = terminal.read_until(None, 60).decode()
            self.assertEqual(terminal.status, 0, text[-300:])
            lines = text.replace("\r", "").split("\n")
            plain = [__import__("re").sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
            wide = [line for line in plain if len(line) > 80 and not line.startswith("! ")]
            self.assertEqual(wide[:2], [], view)
            if shutil.which("jq"):
                out = subprocess.run(f"'{self.vitrine.program}' show {view} {guest.name} --json | jq -c 'del(.escaped) | keys | length'", shell=True,
                                     capture_output=True, text=True, env=self.vitrine.environment)  # fmt: skip
                self.assertEqual(out.returncode, 0, view)
                said = [line for line in out.stderr.splitlines() if not line.startswith("! ")]
                self.assertEqual(said, [], view)
                self.assertLessEqual(len(set(out.stdout.split())), 1, f"{view}: rows of several shapes")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if "--vitrine" in arguments:
        at = arguments.index("--vitrine")
        VITRINE = Path(arguments[at + 1]).resolve()
        del arguments[at : at + 2]
    unittest.main(argv=[sys.argv[0], *arguments], verbosity=2)
