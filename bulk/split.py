"""Splits: what one worker embeds at a time, and the name of the part that it becomes."""

import hashlib

import msgspec

from runtime.service.service import Service

from .job import Job


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rows of one object: all of them, those of a range, or those of a share."""

    key: str
    """Relative to the input."""
    size: int
    etag: str
    start: int | None = None
    """First byte of a range of lines (a line belongs to the range in which it begins), first row of a range of Parquet."""
    stop: int | None = None
    """End of the range."""
    share: int | None = None
    """Of what can only be read from its beginning, the blocks of rows whose number modulo ``of`` is ``share``."""
    of: int | None = None
    limit: int | None = None
    """Only the first rows of the object count."""


class Split(msgspec.Struct, frozen=True):
    """A line of the manifest: one range or share of an object, or several whole objects."""

    part: str
    """Name of its part: the hash of the job, the model and the pieces, so that the same work has the same name."""
    pieces: tuple[Piece, ...]


def job_id(job: Job, service: Service) -> str:
    """The hash of what makes a vector and a row what they are: the job's options and defaults, and the model's artifact.

    ``concurrency`` does not matter for the output.
    """
    defaults = [service.default_prompt, service.config.long_texts, service.limits]
    return _hash([msgspec.structs.replace(job, concurrency=None), defaults, service.manifest.key])


def make_split(job: str, pieces: tuple[Piece, ...]) -> Split:
    """The split of ``pieces`` in the job with the id ``job``."""
    return Split(_hash([job, pieces]), pieces)


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:32]
