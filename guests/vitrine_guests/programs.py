"""Compiles the guest's own programs: statically, once for each state of the sources."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .cache import cache_dir, locked, scratch
from .errors import GuestError

SOURCES = Path(__file__).resolve().parent.parent
FLAGS = ("-static", "-O2", "-Wall", "-Wextra", "-std=gnu17", "-fno-toplevel-reorder", "-pthread")
BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")


@dataclass(frozen=True)
class Program:
    path: Path
    digest: str


def actors() -> Program:
    """The init and all actors in one program, which its own file name steers."""
    return _compile("actors", sorted((SOURCES / "actors").glob("*.c")) + sorted((SOURCES / "init").glob("*.c")))


def truth() -> Program:
    return _compile("truth", sorted((SOURCES / "truth").glob("*.c")))


def busybox() -> Path:
    for path in map(Path, BUSYBOX):
        if path.exists() and b"/ld-linux" not in path.read_bytes():
            return path.resolve()
    raise GuestError("no static busybox; install the package busybox-static")


def actor_table(program: Program) -> list[tuple[str, str, str]]:
    """(name, "boot" or "request", what it shows) of each actor in the program."""
    done = subprocess.run([program.path, "--list"], capture_output=True, text=True, check=True)
    return [tuple(line.split("\t", 2)) for line in done.stdout.splitlines()]


def _compile(name: str, sources: list[Path]) -> Program:
    headers = sorted(h for folder in ("actors", "init", "truth") for h in (SOURCES / folder).glob("*.h"))
    if shutil.which("gcc") is None:
        raise GuestError("no gcc; install the package gcc (and libc6-dev)")
    version = subprocess.run(["gcc", "--version"], capture_output=True).stdout
    digest = hashlib.sha256(version + repr(FLAGS).encode())
    for path in [*sources, *headers]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    key = digest.hexdigest()[:16]
    target = cache_dir() / "programs" / f"{name}-{key}"
    if target.exists():
        return Program(target, key)
    with locked(f"program-{name}"), scratch("compile") as folder:
        if not target.exists():
            command = ["gcc", *FLAGS, "-o", str(folder / name), *map(str, sources)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0 or done.stderr.strip():
                raise GuestError(f"compiling {name} was not clean:\n{done.stderr.strip()}")
            target.parent.mkdir(exist_ok=True)
            os.rename(folder / name, target)
    return Program(target, key)
