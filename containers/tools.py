"""Paths, commands and waiting, for this package and the tests."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TOOLS = PROJECT / "build" / "tools"
"""Everything that is downloaded to run containers goes here, except Debian packages."""

_TAIL_LINES = 60


class ToolError(Exception):
    """A tool is missing or failed; the message holds the command and the end of its output."""


def say(message: str) -> None:
    """Print a line of progress."""
    print(message, flush=True)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 600, **options) -> str:
    """Run ``command`` and return its standard output.

    Raises:
        ToolError: it could not be started, failed, or took longer than ``timeout`` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, env=env, timeout=timeout, text=True, capture_output=True, **options)
    except FileNotFoundError as error:
        raise ToolError(f"{words[0]} is not installed; `make test-container` installs it") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{' '.join(words)}: still running after {timeout:.0f} s") from error
    if done.returncode:
        raise ToolError(f"{' '.join(words)}: exit status {done.returncode}\n{tail(done.stdout + done.stderr)}")
    return done.stdout


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, to put into an error message."""
    return "\n".join(text.splitlines()[-lines:])


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 30, interval: float = 0.1) -> None:
    """Wait until ``ready()`` is true, asking every ``interval`` seconds.

    Raises:
        TimeoutError: it was not true within ``seconds``; the message starts with ``what``.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(interval)
