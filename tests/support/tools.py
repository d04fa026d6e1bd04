"""Places, processes and waiting: what the rest of this package is made of."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / "build" / "tools"
"""Where everything that is installed for the tests goes, except Debian packages."""

_TAIL_LINES = 60


class ToolError(Exception):
    """A tool is missing or failed; the message holds the command and the end of its output."""


def say(message: str) -> None:
    """Progress of the setup."""
    print(message, flush=True)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 600, **options) -> str:
    """Standard output of ``command``.

    Raises:
        ToolError: it could not be started, failed, or took longer than ``timeout`` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, env=env, timeout=timeout, text=True, capture_output=True, **options)
    except FileNotFoundError as error:
        raise ToolError(f"{words[0]} is not installed; run: {Path(sys.executable)} -m tests.support.setup") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{' '.join(words)}: no end after {timeout:.0f} s") from error
    if done.returncode:
        raise ToolError(f"{' '.join(words)}: exit status {done.returncode}\n{tail(done.stdout + done.stderr)}")
    return done.stdout


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, for a message."""
    return "\n".join(text.splitlines()[-lines:])


def start(command: Sequence[str | Path], *, log: Path, env: Mapping[str, str]) -> subprocess.Popen:
    """A process in the background that writes to ``log`` and ends with this one, however this one ends."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(word) for word in command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of <sys/prctl.h>


def stop(process: subprocess.Popen, grace: float = 10) -> None:
    """Ends a process started by ``start``: asked first, killed after ``grace`` seconds."""
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 30, interval: float = 0.1) -> None:
    """Returns once ``ready()`` is true.

    Raises:
        TimeoutError: it was not within ``seconds``; ``what`` is in the message.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(interval)


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_running(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
