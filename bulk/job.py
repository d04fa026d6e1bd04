"""A job: the JSON that starts it, on AWS and on a desk."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from .errors import JobError

Format = Literal["jsonl", "csv", "parquet"]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(min_length=1)]

OUTPUT_COLUMNS = ("id", "source", "position", "tokens", "vector")
"""Columns of the output that a copied column may not be called like."""
S3 = "s3://"


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to embed, and how.

    Raises:
        ValueError: fields contradict one another.
    """

    input: Name
    """``s3://bucket/key`` of an object, ``s3://bucket/prefix`` of all objects under ``prefix/``, a file or a folder."""
    output: Name
    """``s3://bucket/prefix`` or a folder. One output belongs to one job."""
    text: Name = "text"
    """Column with the texts."""
    id: Name | None = None
    """Column with the rows' ids, written as ``id``. By default a row is named by ``source`` and ``position``."""
    copy: tuple[Name, ...] = ()
    """Columns that are copied to the output. Those of JSONL and CSV become strings (JSON's numbers, lists and objects as they are
    written); those of Parquet keep their types."""
    format: Format | None = None
    """By default that of the names' endings; all objects of a job have the same."""
    prompt_name: str | None = None
    """As in a request to the endpoint: by default the deployment's default prompt; the empty name means no prompt."""
    long_texts: Literal["error", "truncate", "window"] | None = None
    """As in a request to the endpoint: by default the deployment's."""
    dimensions: Positive | None = None
    """By default all that the model has."""
    normalize: bool = True
    precision: Literal["float32", "int8"] = "float32"
    limit: Positive | None = None
    """Embed only the first rows, to try a job out; such an output is one of its own."""
    concurrency: Positive | None = None
    """Most splits that are embedded at a time. By default the deployment's, on a desk one for each CPU."""

    def __post_init__(self) -> None:
        on_s3 = [url.startswith(S3) for url in (self.input, self.output)]
        if on_s3[0] != on_s3[1]:
            raise ValueError(f"input and output are both on S3 or both folders. Given: {self.input} and {self.output}")
        for url in (self.input, self.output):
            if "://" in url and not url.removeprefix(S3).partition("/")[0].replace(".", "").replace("-", "").isalnum():
                raise ValueError(f"a place is s3://bucket/prefix or a path. Given: {url}")
        places = [_place(url) for url in (self.input, self.output)]
        if places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0]):
            raise ValueError(
                f"neither of input and output may contain the other. Given: {self.input} and {self.output}"
            )
        reserved = OUTPUT_COLUMNS if self.id is not None else OUTPUT_COLUMNS[1:]
        wrong = [name for name in self.copy if name in reserved]
        if wrong:
            raise ValueError(f"the output already has a column {wrong[0]!r}, so no column of this name can be copied")
        if len(set(self.copy)) < len(self.copy):
            raise ValueError(f"a column can be copied only once. Given: {', '.join(self.copy)}")
        if self.precision == "int8" and not self.normalize:
            raise ValueError("precision int8 needs normalize, because its range is that of unit vectors")


def read_job(values: dict | bytes) -> Job:
    """The job in ``values``, JSON or what it decodes to.

    Raises:
        JobError: a field is missing, unknown or not allowed; the message names it.
    """
    try:
        if isinstance(values, bytes):
            return msgspec.json.decode(values, type=Job)
        return msgspec.convert(values, Job)
    except msgspec.MsgspecError as error:
        fields = f"; a job has {', '.join(Job.__struct_fields__)}" if "field" in str(error) else ""
        raise JobError(f"the job is not allowed: {error}{fields}") from None


def _place(url: str) -> PurePosixPath:
    return PurePosixPath(url.removeprefix(S3)) if url.startswith(S3) else PurePosixPath(Path(url).resolve().as_posix())
