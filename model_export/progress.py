"""Progress on standard error: the steps, the seconds that they take, and in long ones how much is left."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

EVERY_SECONDS = 10

Item = TypeVar("Item")


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step, and print the seconds that it took."""
    say(f"· {text} …")
    start = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - start:.1f} s")


def track(items: Sequence[Item], unit: str) -> Iterator[Item]:
    """Yield ``items``; print every :data:`EVERY_SECONDS` how many are done and about how long the others take."""
    start = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - said >= EVERY_SECONDS:
            said = now
            say(f"  {done:,} of {len(items):,} {unit}, about {(now - start) / done * (len(items) - done):.0f} s left")
        yield item
