"""What is known of each running guest: a folder with its sockets, logs and a note."""

import json
import os
import shutil
from pathlib import Path

from .errors import GuestError


def state_root() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    root = Path(base) / f"vitrine-guests-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.stat().st_uid != os.getuid():
        raise GuestError(f"{root} belongs to someone else")
    return root


def start_time(pid: int) -> int | None:
    """The process's start in ticks since boot: with the pid it names a process for good."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Every thread has stopped: a signal takes its time to reach all of them."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (thread / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text[text.rindex(")") + 2] not in "Tt":
            return False
    return True


def claim(name: str) -> Path:
    """A new, empty folder for the guest `name`. Raises GuestError while a guest of that name runs."""
    if not name or "/" in name or name.startswith("."):
        raise GuestError(f"{name!r} is no name for a guest")
    _forget_dead()
    folder = state_root() / name
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        note = read_note(name)
        if note is None and _owner_lives(folder):
            raise GuestError(f"a guest named {name} is starting") from None
        if note and is_alive(note):
            raise GuestError(f"a guest named {name} runs already; `guest down {name}` ends it") from None
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    (folder / "owner").write_text(str(os.getpid()))
    return folder


def _owner_lives(folder: Path) -> bool:
    try:
        return start_time(int((folder / "owner").read_text())) is not None
    except (FileNotFoundError, ValueError):
        return False


def _forget_dead() -> None:
    """Folders of guests whose QEMU and whose starter have both ended, one of them by force."""
    for name in names():
        note = read_note(name)
        if note and not is_alive(note) and not _owner_lives(state_root() / name):
            shutil.rmtree(state_root() / name, ignore_errors=True)


def write_note(folder: Path, note: dict) -> None:
    (folder / "note.new").write_text(json.dumps(note, indent=1) + "\n")
    os.rename(folder / "note.new", folder / "note.json")


def read_note(name: str) -> dict | None:
    try:
        return json.loads((state_root() / name / "note.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def is_alive(note: dict) -> bool:
    return start_time(note["pid"]) == note["started"]


def names() -> list[str]:
    return sorted(path.name for path in state_root().iterdir() if path.is_dir())
