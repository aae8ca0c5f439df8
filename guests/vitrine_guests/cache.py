"""Where things that are fetched or built are kept: outside the tree, shared by parallel runs."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def cache_dir() -> Path:
    """The cache root; created when missing. `VITRINE_GUESTS_CACHE` moves it."""
    chosen = os.environ.get("VITRINE_GUESTS_CACHE")
    if chosen:
        root = Path(chosen)
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = Path(base) / "vitrine-guests"
    root.mkdir(parents=True, exist_ok=True)
    return root.resolve()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the cache's lock `name`; another process that wants it waits."""
    locks = cache_dir() / "locks"
    locks.mkdir(exist_ok=True)
    with open(locks / name, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A temporary folder on the cache's file system, so that a rename out of it is atomic."""
    path = Path(tempfile.mkdtemp(prefix=f".{prefix}-", dir=cache_dir()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def forget_old(folder: Path, pattern: str) -> None:
    """Removes what `pattern` matches and nobody has built or touched for a week."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > 7 * 86400:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
