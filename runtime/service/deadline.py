"""The time of a request: work is done step by step, as long as there is time for the next step."""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TypeVar

from .errors import OutOfTime

ANSWER_SECONDS = 0.5
"""Time kept for writing the answer after the last step; 6 MB of JSON, compressed, took 0.2 s."""

Item = TypeVar("Item")


def in_time(items: Sequence[Item], deadline: float, done: str, param: str = "inputs") -> Iterator[Item]:
    """``items`` one after the other; the caller does the work for one before it asks for the next.

    Lambda's timeout would kill the execution environment and leave the caller without an answer. So the next item is given
    only if there is time for one as slow as the slowest so far. The first item is always given.

    Args:
        items: What there is work for.
        deadline: The time by ``perf_counter`` (seconds) when the request has to be answered.
        done: What the error says of the items whose work is done, such as "texts were tokenized".
        param: The field of the request that holds them.

    Raises:
        OutOfTime: there is no time for the next item; the message says how many are done.
    """
    start = now = perf_counter()
    slowest = 0.0
    for count, item in enumerate(items):
        if count and now + slowest + ANSWER_SECONDS > deadline:
            raise OutOfTime(
                f"the request takes longer than the function may: {count} of {len(items)} {done} in {now - start:.1f} s; "
                "send less in one request",
                param=param,
            )
        yield item
        slowest, now = max(slowest, perf_counter() - now), perf_counter()
