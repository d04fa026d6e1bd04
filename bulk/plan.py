"""The first step of a run: lists the input, divides it into splits and writes those that are to do into a manifest."""

from collections.abc import Callable

import msgspec

from runtime.service.service import Service

from .job import Job


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to embed, extrapolated from rows that were embedded and timed."""

    objects: int
    bytes: int
    rows: int
    tokens: int
    seconds: float
    """On one CPU like this one."""
    sampled_rows: int


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has to do."""

    job: Job
    run: int
    """Number of this run of the job, from 1."""
    manifest: dict[str, str]
    """Place of the manifest, JSONL with one split a line: ``bucket`` and ``key``, or ``path``."""
    splits: int
    """Lines of the manifest."""
    done: int
    """Splits of earlier runs whose parts exist."""
    todo: Estimate
    """The work in the manifest's splits."""


def plan(
    job: Job,
    service: Service,
    owner: str = "",
    is_running: Callable[[str], bool] = lambda owner: False,
    split_seconds: float = 120,
) -> Planned:
    """Divide the input into splits of about ``split_seconds`` of work, and write the manifest of a new run.

    Args:
        owner: Names whoever runs the job, such as the ARN of an execution.
        is_running: Whether an owner's run is not over.

    Raises:
        JobError: the input does not have what the job asks for, or the model cannot do it.
        OutputError: the output belongs to another job, or an owner writes it now.
        InputError: an object that was embedded has changed since.
    """
    raise NotImplementedError


def estimate(job: Job, service: Service) -> Estimate:
    """How much ``plan`` would find, without writing anything. Raises the same errors."""
    raise NotImplementedError
