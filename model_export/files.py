"""Folders that are complete whenever they exist."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from .progress import say


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make ``folder`` unless it exists: ``fill`` writes into a folder beside it, which is synced to disk and renamed.

    If ``fill`` raises, nothing is left; a run that was killed leaves a folder named ``.partial-…``, which the next run removes. If
    two processes make the same folder, the second waits for the first and uses its result.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".partial-{folder.name}"
    with _lock(folder.parent / f".lock-{folder.name}"):
        if folder.exists():
            return
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            fill(partial)
            for path in [*partial.rglob("*"), partial]:
                # Some libraries write for their own user only, and the function runs as another.
                path.chmod(0o755 if path.is_dir() else 0o644)
                _sync(path)
            partial.rename(folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            say(f"· waiting for another run that makes {path.name.removeprefix('.lock-')} …")
            flock(file, LOCK_EX)
        yield
        # The folder exists now, so a process that still waits for this lock will find it.
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
