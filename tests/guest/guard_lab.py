"""A host to guard, for tests: vitrined in a folder of its own, and guests that cost little."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "guests"))

from vitrine_guests import Guest, qmp  # noqa: E402

_libc = ctypes.CDLL(None)

RULES = Path(__file__).resolve().parents[2] / "rules"


class Failure(Exception):
    pass


def until(what, seconds: float, step: float = 0.01):
    """The first true answer of `what`; raises Failure with its name when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        if answer := what():
            return answer
        if time.monotonic() > end:
            raise Failure(f"not within {seconds} s: {getattr(what, '__name__', what)}")
        time.sleep(step)


class BareGuest:
    """A machine with firmware and nothing else: it comes in a moment and has no kernel."""

    def __init__(self, lab: "Lab", name: str, memory: int = 16, shared: bool = True, extra: tuple[str, ...] = ()):
        self.name, self.path = name, lab.machines / f"{name}.qmp"
        self.owner = lab.folder / f"{name}.owner"  # a second monitor: its owner's, and the test's
        backend = ["-object", f"memory-backend-memfd,id=ram,size={memory}M,share=on", "-machine", "memory-backend=ram"]
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc,accel=tcg", "-S",
             "-m", f"{memory}M", *(backend if shared else []), "-name", name, "-qmp", f"unix:{self.path},server=on,wait=off",
             "-qmp", f"unix:{self.owner},server=on,wait=off", *extra],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        lab.guests.append(self)

    @property
    def pid(self) -> int:
        return self.process.pid

    def qmp(self, command: str, /, **arguments) -> dict:
        """Says something to its monitor, as its owner would."""
        return qmp.command(self.owner, command, **arguments)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for path in (self.path, self.owner):
            with contextlib.suppress(OSError):
                path.unlink()


class Lab:
    """vitrined and its folders. Everything that was started ends with it."""

    def __init__(self, programs: Path, rules: str | Path = "", **settings):
        """`rules`: the text of a rule, or a folder with a whole pack."""
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="vitrine-guard-"))
        self.machines, self.state, self.runtime = (self.folder / part for part in ("machines", "state", "run"))
        self.rules = self.folder / "rules"
        self.policy = ""
        for folder in (self.machines, self.rules):
            folder.mkdir()
        if isinstance(rules, Path):
            self.rules = rules
        elif rules:
            (self.rules / "test.vmi").write_text(rules)
        values = {"machines": str(self.machines), "state": str(self.state), "runtime": str(self.runtime),
                  "rules": [str(self.rules)], "programs": str(programs), **settings}  # fmt: skip
        self.config = self.folder / "vitrined.toml"
        if settings.get("policy"):
            (self.folder / settings["policy"]).write_text("dry_run = true\n")
        self.config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        self.log = self.folder / "log"
        self.guests: list = []
        self.supervisor: subprocess.Popen | None = None

    def __enter__(self) -> "Lab":
        return self.start()

    def __exit__(self, *unused) -> None:
        self.stop()
        for guest in self.guests:
            guest.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> "Lab":
        self.supervisor = subprocess.Popen(
            [self.programs / "vitrined", "--config", self.config],
            stdin=subprocess.DEVNULL, stderr=open(self.log, "ab"), start_new_session=True,  # as a service has one
            preexec_fn=lambda: _libc.prctl(1, signal.SIGTERM),  # and gone with us, however we end
            extra_groups=[4242] if os.geteuid() == 0 else None,  # which nothing that it starts may keep
        )  # fmt: skip

        def listens():
            if self.supervisor.poll() is not None:
                raise Failure(self.log.read_text())
            with contextlib.suppress(OSError):
                return self.ask("status")

        until(listens, 10)
        return self

    def stop(self) -> None:
        if self.supervisor and self.supervisor.poll() is None:
            self.supervisor.terminate()
            self.supervisor.wait(20)
        self.supervisor = None

    def kill(self) -> None:
        self.supervisor.kill()
        self.supervisor.wait()

    def ask(self, what: str, guest: str | None = None) -> dict:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.runtime / "control.sock"))
            client.sendall(json.dumps({"do": what} | ({"guest": guest} if guest else {})).encode() + b"\n")
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        return json.loads(answer)

    def guest(self, name: str) -> dict | None:
        return next((guest for guest in self.ask("status")["guests"] if guest["guest"] == name), None)

    def watched(self, name: str, but: int = 0, seconds: float = 20) -> dict:
        """The guest's row once an FVM other than number `but` watches it."""

        def is_watched():
            row = self.guest(name)
            return row if row and row["state"] == "watched" and row["fvm"] != but else None

        try:
            return until(is_watched, seconds, 0.003)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.guest(name)}\n{self.log.read_text()[-3000:]}") from None

    def standby(self, seconds: float = 10) -> list[int]:
        """The pids of the standby FVMs, once there are as many as wanted."""

        def full():
            status = self.ask("status")
            return status["standby"] if len(status["standby"]) >= status["standby_wanted"] else None

        return until(full, seconds)

    def evidence(self, name: str) -> list[dict]:
        done = subprocess.run(
            [self.programs / "vitrine", "evidence", "list", name, "--state", self.state, "--json"],
            capture_output=True, text=True,
        )  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]

    def verify(self, name: str) -> None:
        done = subprocess.run(
            [self.programs / "vitrine", "evidence", "verify", name, "--state", self.state], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise Failure(done.stdout + done.stderr)


def stop_process(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def patch_memory(pid: int, address: int, content: bytes) -> None:
    """Writes into another process, as a flaw in it would: its own copy of a page, no file changes."""
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(content)


def text_of(pid: int) -> tuple[int, int]:
    """Start and size of a process's executable mapping."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if "x" in rights and "[" not in line:
            start, end = (int(part, 16) for part in span.split("-"))
            return start, end - start
    raise Failure(f"process {pid} has no text")


def check(true: bool, words: str) -> None:
    if not true:
        raise Failure(words)


def be_punctual() -> None:
    """Whoever measures must not wait for a CPU himself: as the watchers, a session of its own, before others."""
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
        if os.getsid(0) == os.getpid():
            Path("/proc/self/autogroup").write_text("-15")


def build_image(folder: Path, sensor: Path, rules: Path | None = None) -> Path:
    tool = Path(__file__).resolve().parents[2] / "guests" / "guest"
    words = [tool, "fvm-image", folder, "--sensor", sensor, *(("--rules", rules) if rules else ())]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return folder


def linux_guest(lab: Lab, **options):
    """A guest with a kernel, watched by `lab` as web1."""
    return Guest("6.1", backend="memfd", extra=f"-qmp unix:{lab.machines / 'web1.qmp'},server=on,wait=off", **options)


@contextlib.contextmanager
def attacked(programs: Path, fallen: str = "vitrine-fvm"):
    """A folder of programs of which one has a traitor in it (fvm_attacker.cpp, guard_attacker.cpp)."""
    traitors = {"vitrine-fvm": "fvm_attacker", "vitrine-guard": "guard_attacker"}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vitrined", "vitrine-guard", "vitrine-fvm", "vitrine"):
            os.symlink(programs.resolve() / (traitors[name] if name == fallen else name), Path(folder) / name)
        yield Path(folder)
