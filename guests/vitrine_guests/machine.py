"""Boots a guest under QEMU and talks to it."""

import contextlib
import ctypes
import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import initramfs, kernels, qmp, state
from .cache import cache_dir
from .errors import GuestError
from .own_kernel import is_path, open_own
from .printer import Printer

BACKENDS = ("anonymous", "memfd", "file", "numa2")
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Options:
    """How the machine is made. The default is what anyone would start: `-m` and no more."""

    memory: int = 256  # MiB
    cpus: int = 1
    machine: str = "q35"
    cpu: str = "max"
    backend: str = "anonymous"
    append: str = ""
    accel: str = "tcg"
    qmp: bool = True
    qmp_socket: str | None = None
    extra: str = ""
    programs: tuple[str, ...] = ()  # of this host, to be had in the guest: /usr/bin/tcpdump
    reboot: bool = False  # False: QEMU ends where the machine would reset

    def check(self) -> None:
        if self.backend not in BACKENDS:
            raise GuestError(f"no backend {self.backend!r}; there are {', '.join(BACKENDS)}")
        if self.accel not in ("tcg", "kvm", "auto"):
            raise GuestError(f"no accelerator {self.accel!r}; there are tcg, kvm, auto")
        if self.memory < 128 or self.cpus < 1:
            raise GuestError("a guest needs at least 128 MiB and one CPU")


class Guest:
    """A running guest. As a context manager it boots on entry and is gone on exit.

    >>> with Guest("6.1", memory=256) as guest:
    ...     processes = guest.truth()["processes"]

    Strings of the truth are Latin-1: `text.encode("latin-1")` gives the guest's bytes. One thread
    at a time may use it. The QEMU process dies with the thread that booted it (unless `detached`).
    """

    def __init__(self, label: str, name: str | None = None, detached: bool = False, **options: object):
        self.label = label
        self.name = name or f"test-{os.getpid()}-{next(_numbers)}"
        self.options = Options(**options)
        self.detached = detached
        self.folder: Path | None = None
        self.pid = 0
        self.accel = self.options.accel
        self.why_tcg = ""  # with accel="auto": why it is not KVM
        self.boot_seconds = 0.0
        self.kernel: kernels.Kernel | None = None
        self.note: dict = {}
        self._process: subprocess.Popen | None = None

    # -- life ---------------------------------------------------------------------------------

    def __enter__(self) -> "Guest":
        return self.boot()

    def __exit__(self, *unused: object) -> None:
        self.close()

    def boot(self, timeout: float = 120.0) -> "Guest":
        """Starts QEMU and waits for READY. Raises GuestError with the end of the console log."""
        self.options.check()
        self.kernel = open_own(self.label) if is_path(self.label) else kernels.fetch(self.label)
        archive = initramfs.build(self.kernel)
        if self.options.programs:
            archive = initramfs.with_programs(archive, tuple(self.options.programs))
        accelerators = {"tcg": ["tcg"], "kvm": ["kvm"], "auto": ["kvm", "tcg"]}[self.options.accel]
        if self.options.accel == "auto" and (reason := _kvm_is_hopeless()):
            accelerators, self.why_tcg = ["tcg"], reason
        for accel in accelerators:
            last = accel == accelerators[-1]
            try:
                self._boot_once(archive, accel, timeout if last else 30.0)
                break
            except GuestError:
                self.close()
                if last:
                    raise
                self.why_tcg = "a boot under KVM was tried and did not come"
            except BaseException:
                self.close()
                raise
        if len(accelerators) == 2 and self.accel == "tcg":
            _kvm_verdict().touch()  # the same guest boots under TCG: KVM it was
        return self

    def _boot_once(self, archive: Path, accel: str, timeout: float) -> None:
        self.accel = accel
        self.folder = state.claim(self.name)
        command = self._command(archive, accel)
        begin = time.monotonic()
        with open(self.folder / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, preexec_fn=None if self.detached else _die_with_parent,
            )  # fmt: skip
        self.pid = self._process.pid
        self.note = {
            "name": self.name, "label": self.label, "release": self.kernel.release, "pid": self.pid,
            "started": state.start_time(self.pid), "accel": accel, "detached": self.detached, "options": asdict(self.options),
            "qmp": str(self.qmp_path) if self.options.qmp else None,
            "qmp_tests": str(self._socket("qmp-tests")) if self.options.qmp else None,
            "console": str(self._socket("console")), "serial": str(self._socket("serial")),
            "port": str(self._socket("port")), "log": str(self.log), "command": command,
        }  # fmt: skip
        state.write_note(self.folder, self.note)
        self._await_ready(begin + timeout)
        self.boot_seconds = self.note["boot_seconds"] = round(time.monotonic() - begin, 2)
        state.write_note(self.folder, self.note)

    def await_again(self, timeout: float = 120.0) -> None:
        """Waits for READY of a guest that has rebooted, or was told to."""
        self._await_ready(time.monotonic() + timeout)

    def close(self) -> None:
        """Ends this guest's QEMU, by its pid, and removes its folder. May be called twice."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        elif self.note and state.is_alive(self.note):
            os.kill(self.pid, signal.SIGKILL)
            for _ in range(500):
                if not state.is_alive(self.note):
                    break
                time.sleep(0.01)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
        self.pid = 0

    @classmethod
    def attach(cls, name: str) -> "Guest":
        """The guest `name` that someone else booted. It is not ended with the object."""
        note = state.read_note(name)
        if not note or not state.is_alive(note):
            raise GuestError(f"no guest named {name} runs; `guest list` shows those that do")
        guest = cls(note["label"], name, detached=True, **note["options"])
        guest.folder = state.state_root() / name
        guest.pid = note["pid"]
        guest.accel = note["accel"]
        guest.note = note
        guest.boot_seconds = note.get("boot_seconds", 0.0)
        return guest

    # -- what it says of itself ---------------------------------------------------------------

    def ask(self, request: str, timeout: float = 120.0) -> bytes:
        """The answer to any request of the truth printer. Raises GuestError on a status but 0."""
        status, data = self._printer().ask(request, timeout)
        if status != 0:
            raise GuestError(f"{request!r} in the guest: status {status}: {data.decode('latin-1').strip()}")
        return data

    def truth(self) -> dict:
        return json.loads(self.truth_text())

    def truth_text(self) -> bytes:
        """The truth as the guest sent it: one line of JSON."""
        return self.ask("truth")

    def kallsyms(self) -> str:
        return self.ask("kallsyms").decode("latin-1")

    def btf_names(self) -> list[str]:
        return self.ask("btfs").decode().split()

    def btf(self, name: str = "vmlinux") -> bytes:
        return self.ask(f"btf {name}")

    def file(self, path: str) -> bytes:
        """A file of the guest, read by the printer (no process is started)."""
        return self.ask(f"file {path}")

    def run(self, command: str, timeout: float = 120.0) -> tuple[int, bytes]:
        """(status, output and errors together) of a command of the guest's shell."""
        return self._printer().ask(f"run {command}", timeout)

    def churn(self, seconds: float, kind: str = "") -> int:
        """Starts processes that fork and exit without pause; returns at once with the actor's pid.

        `kind`: "vfork" copies no memory and executes nothing (many times more of them), "threads" are threads.
        """
        return int(self.ask(f"churn{'-' + kind if kind else ''} {seconds}"))

    def spin(self, seconds: float) -> int:
        return int(self.ask(f"spin {seconds}"))

    def load(self, module: str) -> None:
        self.ask(f"load {module}")

    def unload(self, module: str) -> None:
        self.ask(f"unload {module}")

    # -- the machine --------------------------------------------------------------------------

    @property
    def qmp_path(self) -> Path:
        """The QMP socket for the tool under test; this class uses a second one."""
        return Path(self.options.qmp_socket) if self.options.qmp_socket else self._socket("qmp")

    @property
    def log(self) -> Path:
        """The console's log."""
        return self.folder / "console.log"

    def qmp(self, name: str, /, **arguments: object) -> object:
        if not self.options.qmp:
            raise GuestError(f"{self.name} was started without QMP")
        return qmp.command(self._socket("qmp-tests"), name, **arguments)

    def human(self, line: str) -> str:
        """What QEMU's human monitor says to that line."""
        return self.qmp("human-monitor-command", command_line=line)

    def pause(self) -> None:
        """Stops the CPUs. Without QMP the whole QEMU process is stopped, which is as good to a reader."""
        if self.options.qmp:
            self.qmp("stop")
        else:
            os.kill(self.pid, signal.SIGSTOP)
            while not state.is_stopped(self.pid):
                time.sleep(0.001)

    def resume(self) -> None:
        if self.options.qmp:
            self.qmp("cont")
        else:
            os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self):
        self.pause()
        try:
            yield self
        finally:
            self.resume()

    def dump(self, path: str | Path, paging: bool = False, form: str = "elf") -> None:
        """Writes an ELF core of the RAM, or another form that QMP's dump-guest-memory has."""
        target = Path(path).resolve()
        self.qmp("dump-guest-memory", timeout=600.0, paging=paging, protocol=f"file:{target}", format=form)

    # -- inside -------------------------------------------------------------------------------

    def _socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def _printer(self) -> Printer:
        return Printer(self._socket("serial"), self._socket("port") if self.note.get("bulk") else None)

    def _command(self, archive: Path, accel: str) -> list[str]:
        options = self.options
        append = f"console=ttyS0 panic=-1 loglevel=4 {options.append}".strip()
        cpu = "host" if accel == "kvm" and options.cpu == "max" else options.cpu
        command = [
            "qemu-system-x86_64", "-name", self.name, "-accel", accel, "-cpu", cpu,
            "-smp", str(options.cpus), *self._memory_options(),
            "-kernel", str(self.kernel.image), "-initrd", str(archive), "-append", append,
            "-display", "none",
            "-chardev", self._chardev("console", "console.log"), "-serial", "chardev:console",
            "-chardev", self._chardev("serial"), "-serial", "chardev:serial",
            "-device", "virtio-serial-pci", "-chardev", self._chardev("port"),
            "-device", "virtserialport,chardev=port,name=vitrine.bulk",
            # A card as most guests have, but cut off from the host's network.
            "-nic", "user,restrict=on,model=virtio-net-pci,mac=52:54:00:76:69:74",
        ]  # fmt: skip
        if not options.reboot:
            command.append("-no-reboot")
        if options.qmp:
            for path in (self.qmp_path, self._socket("qmp-tests")):
                command += ["-qmp", f"unix:{path},server=on,wait=off"]
        return command + shlex.split(options.extra)

    def _chardev(self, name: str, log: str | None = None) -> str:
        text = f"socket,id={name},path={self._socket(name)},server=on,wait=off"
        return f"{text},logfile={self.folder / log}" if log else text

    def _memory_options(self) -> list[str]:
        options = self.options
        size = f"{options.memory}M"
        plain = ["-machine", options.machine, "-m", size]
        if options.backend == "anonymous":
            return plain
        if options.backend == "numa2":
            half = options.memory // 2
            sizes = (half, options.memory - half)
            result = list(plain)
            for node, part in enumerate(sizes):
                result += ["-object", f"memory-backend-memfd,id=ram{node},size={part}M,share=on",
                           "-numa", f"node,nodeid={node},memdev=ram{node}" + (",cpus=0-%d" % (options.cpus - 1) if node == 0 else "")]  # fmt: skip
            return result
        if options.backend == "memfd":
            backend = f"memory-backend-memfd,id=ram,size={size},share=on"
        else:
            backend = f"memory-backend-file,id=ram,size={size},share=on,mem-path={self.folder / 'ram'}"
        return ["-object", backend, "-machine", f"{options.machine},memory-backend=ram", "-m", size]

    def _await_ready(self, deadline: float) -> None:
        """The greeting on the serial port; the connection must stand before the guest speaks."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as serial:
            while True:
                try:
                    serial.connect(str(self._socket("serial")))
                    break
                except OSError:
                    self._check_alive(deadline)
                    time.sleep(0.01)
            greeting = b""
            serial.settimeout(0.25)
            while b"READY " not in greeting or not greeting.endswith(b"\n"):
                self._check_alive(deadline)
                try:
                    part = serial.recv(4096)
                    greeting += part
                    if not part:
                        time.sleep(0.05)
                except TimeoutError:
                    pass
                except ConnectionResetError:
                    self._process.wait(5)  # QEMU is about to end; the next round tells how
            self.note["bulk"] = b"READY port" in greeting

    def _check_alive(self, deadline: float) -> None:
        if (status := self._process.poll()) is not None:
            raise GuestError(f"{self._title()}: QEMU ended with status {status}\n{self._last_words()}")
        if time.monotonic() > deadline:
            raise GuestError(f"{self._title()}: not ready in time\n{self._last_words()}")

    def _title(self) -> str:
        return f"guest {self.name} (Linux {self.kernel.release}, {self.accel})"

    def _last_words(self) -> str:
        words = []
        for path in (self.folder / "qemu.log", self.log):
            with contextlib.suppress(OSError):
                text = path.read_bytes()[-4000:].decode("utf-8", "replace").strip()
                words.append(f"--- the end of {path.name}:\n{text or '(empty)'}")
        return "\n".join(words)


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


def _kvm_verdict() -> Path:
    """Stands until the host is booted again: a boot that does not come costs half a minute."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return cache_dir() / f"kvm-boots-no-linux-{boot}"


def _kvm_is_hopeless() -> str:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm cannot be opened"
    if _kvm_verdict().exists():
        return f"a boot under KVM did not come since this host is up ({_kvm_verdict()})"
    return ""
