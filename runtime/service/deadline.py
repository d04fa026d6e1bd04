"""The time of a request: work is done step by step, as long as there is time for the next step."""

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from time import perf_counter
from typing import TypeVar

from .errors import OutOfTime

ANSWER_SECONDS = 0.5
"""Time kept for writing the answer after the last step; 6 MB of JSON, compressed, took 0.2 s."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Pace:
    """Whether there is time for the next of ``total`` items: for one as slow as the slowest so far, or if it is the first.

    Lambda's timeout would kill the execution environment and leave the caller without an answer.
    """

    def __init__(self, total: int, deadline: float, done: str, param: str) -> None:
        self._total, self._deadline, self._done, self._param = total, deadline, done, param
        self._start = perf_counter()
        self._count, self._slowest = 0, 0.0
        self._lock = Lock()

    def begin(self) -> float:
        """The time when work for the next item begins.

        Raises:
            OutOfTime: there is no time for it.
        """
        now = perf_counter()
        if self._count and now + self._slowest + ANSWER_SECONDS > self._deadline:
            raise OutOfTime(
                f"the request takes longer than the function may: {self._count} of {self._total} {self._done} in "
                f"{now - self._start:.1f} s; send less in one request",
                param=self._param,
            )
        return now

    def end(self, begun: float) -> None:
        """Count an item whose work began at ``begun``."""
        seconds = perf_counter() - begun
        with self._lock:
            self._count += 1
            self._slowest = max(self._slowest, seconds)


def in_time(items: Sequence[Item], deadline: float, done: str, param: str = "inputs") -> Iterator[Item]:
    """``items`` one after the other, as long as there is time; the caller does the work for one before it asks for the next.

    Args:
        items: What there is work for.
        deadline: The time by ``perf_counter`` (seconds) when the request has to be answered.
        done: What the error says of the items whose work is done, such as "texts were tokenized".
        param: The field of the request that holds them.

    Raises:
        OutOfTime: there is no time for the next item; the message says how many are done.
    """
    pace = _Pace(len(items), deadline, done, param)
    for item in items:
        begun = pace.begin()
        yield item
        pace.end(begun)


def map_in_time(
    compute: Callable[[Item, bool], Result],
    items: Sequence[Item],
    costs: Sequence[int],
    at_a_time: int,
    deadline: float,
    done: str,
) -> list[Result]:
    """The results of ``compute`` for all ``items``, the most costly first. Those that would outlast the others are computed alone,
    one after the other; then the others, ``at_a_time`` of them at a time, in threads.

    Args:
        compute: Called with an item and whether it is computed alone.
        costs: How much work each item is, in any unit.
        deadline, done: as for :func:`in_time`.

    Raises:
        OutOfTime: there is no time for one of the items; the message says how many are done.
    """
    pace = _Pace(len(items), deadline, done, "inputs")

    def step(index: int, alone: bool) -> Result:
        begun = pace.begin()
        result = compute(items[index], alone)
        pace.end(begun)
        return result

    order = sorted(range(len(items)), key=lambda index: -costs[index])
    count = _count_alone([costs[index] for index in order], at_a_time)
    results = {index: step(index, True) for index in order[:count]}
    if others := order[count:]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(at_a_time) as threads:
            results |= zip(others, threads.map(lambda index: step(index, False), others), strict=True)
    return [results[index] for index in range(len(items))]


def _count_alone(costs: Sequence[int], at_a_time: int) -> int:
    """How many of the first items, by their falling ``costs``, are more than an equal share of the work that is left: beside the
    others they would still be computed when nothing else is."""
    left = sum(costs)
    for count, cost in enumerate(costs):
        if at_a_time > 1 and cost * at_a_time <= left:
            return count
        left -= cost
    return len(costs)
