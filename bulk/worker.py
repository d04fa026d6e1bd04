"""The second step of a run, once for each split: rows to a part of the output."""

from collections.abc import Callable

import msgspec

from runtime.service.service import Service

from .job import Job


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a part, or in several."""

    rows: int
    errors: int
    """Rows that could not be embedded."""
    tokens: int
    truncated: int
    """Rows whose text was cut off."""
    seconds: float


def embed_split(split, job: Job, service: Service, on_rows: Callable[[int], None] = lambda rows: None) -> Counts:
    """Embed the rows of ``split`` and write its part, unless it exists.

    Raises:
        JobError: the service has another model or other defaults than the plan had.
        InputError: an object cannot be read, or changed since the plan.
    """
    raise NotImplementedError
