"""The last step of a run: compares the parts with the splits, adds them up and marks the output as complete."""

import msgspec

from .job import Job
from .worker import Counts


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``_commits/<run>.json`` and ``_SUCCESS``."""

    run: int
    job: Job
    model: str
    revision: str | None
    dimensions: int
    parts: int
    new: Counts
    """What the runs since the last commit added."""
    total: Counts
    usd: float | None
    """Dollars for ``total.seconds``, if the price is known."""
    duplicate_ids: int | None
    """Rows whose id another row has, too; None without ids or if there are too many rows to compare."""


def commit(job: Job, run: int, usd_per_second: float | None = None) -> Commit:
    """Write ``_commits/<run>.json``, then ``_SUCCESS``.

    Raises:
        Incomplete: parts are missing; the message names some of them.
    """
    raise NotImplementedError
