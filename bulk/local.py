"""The local engine: processes as workers, one thread each."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from .commit import Commit
from .job import Job


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is."""

    rows: int
    """Rows that this run has embedded."""
    of_rows: int
    """Rows that it will have embedded, estimated until the end."""
    splits: int
    of_splits: int
    seconds: float
    """Since the first split began."""


def run_local(
    job: Job,
    model_dir: Path,
    workers: int | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Commit:
    """Run ``job``, on folders, in ``workers`` processes (by default ``job.concurrency``, else one for each CPU).

    ``progress`` is called about twice a second. After a ``KeyboardInterrupt`` or any death, the same job again continues.

    Raises:
        BulkError: see :mod:`bulk.errors`.
    """
    raise NotImplementedError
