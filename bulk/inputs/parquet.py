"""Parquet: ranges of rows, of the columns that a job needs."""

from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import JobError
from ..job import Job
from .rows import (
    Problem,
    Rows,
    check_id,
    check_present,
    check_text,
    check_unique,
    make_batch,
    needed_columns,
    output_columns,
)


def schema(file: BinaryIO) -> tuple[pa.Schema, int]:
    """The columns of a file, and the number of its rows."""
    reader = pq.ParquetFile(file)
    return reader.schema_arrow, reader.metadata.num_rows


def check_columns(columns: pa.Schema, job: Job) -> None:
    """Check that a file has what ``job`` needs.

    Raises:
        JobError: a column is missing or there twice, the text is not a string, or the id neither a string nor an integer.
    """
    check_present(columns.names, job)
    check_unique(columns.names, job)
    if not _is_string(kind := columns.field(job.text).type):
        raise JobError(f"column {job.text!r} has the type {kind}; the text must be a string")
    if job.id is not None and not (_is_string(kind := columns.field(job.id).type) or pa.types.is_integer(kind)):
        raise JobError(f"column {job.id!r} has the type {kind}; an id must be a string or an integer")


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def read(file: BinaryIO, start: int, stop: int, job: Job, chunk: int) -> Iterator[Rows]:
    """The rows from ``start`` to before ``stop``, ``chunk`` rows at a time.

    Raises:
        JobError: see :func:`check_columns`.
    """
    reader = pq.ParquetFile(file)
    check_columns(reader.schema_arrow, job)
    sizes = [reader.metadata.row_group(group).num_rows for group in range(reader.num_row_groups)]
    ends = list(accumulate(sizes))
    groups = [index for index, end in enumerate(ends) if end > start and end - sizes[index] < stop]
    if not groups:
        return
    position = ends[groups[0]] - sizes[groups[0]]
    columns = sorted(set(needed_columns(job)))
    for batch in reader.iter_batches(chunk, row_groups=groups, columns=columns, use_threads=False):
        first, last = max(start - position, 0), min(stop - position, len(batch))
        if first < last:
            yield _rows(batch.slice(first, last - first), position + first, job)
        position += len(batch)


def _rows(batch: pa.RecordBatch, position: int, job: Job) -> Rows:
    texts = [
        value if isinstance(value, Problem) else check_text(value, job)
        for value in _strings(batch.column(job.text), job)
    ]
    if job.id is not None:
        problems = [check_id(value, job) for value in batch.column(job.id).to_pylist()]
        texts = [problem or text for problem, text in zip(problems, texts, strict=True)]
    arrays = {output: batch.column(column) for output, column in output_columns(job).items()}
    return Rows(list(range(position, position + len(batch))), texts, make_batch(arrays, len(batch)))


def _strings(column: pa.Array, job: Job) -> list[str | Problem | None]:
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_string(value, job) for value in column]


def _string(value: pa.Scalar, job: Job) -> str | Problem | None:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return Problem(f"column {job.text!r} is not in UTF-8")
