"""Says on standard error what is being done, and for how long."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step, and say how many seconds it took."""
    say(f"· {text} …")
    start = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - start:.1f} s")
