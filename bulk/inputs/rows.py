"""Rows as the worker takes them, the same from all formats."""

from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa

from ..errors import JobError
from ..job import Job

MAX_ROW_BYTES = 32 << 20
"""A longer row of JSONL or CSV is a problem, so that a file without line breaks does not fill the memory."""

LISTED_NAMES, LISTED_CHARACTERS = 20, 500
"""Most of the columns, and of their names together, that an error lists."""


class Problem(str):
    """The reason why a row, or a value of it, cannot be used."""


class Rows(msgspec.Struct):
    """Some successive rows of an object."""

    positions: list[int]
    """For JSONL the byte of the (uncompressed) object where the line begins, else the number of the row, from 0."""
    texts: list[str | Problem]
    columns: pa.RecordBatch
    """``id``, if the job has ids, and the copied columns; also of rows with problems."""


Record = Mapping[str, str | Problem | None]
"""Values by column, as strings."""


def from_records(records: list[tuple[int, Record | Problem]], job: Job) -> Rows:
    """Rows of records with their positions; all columns are strings."""
    texts = [_text(record, job) for _, record in records]
    arrays = {
        output: pa.array([_plain(record, column) for _, record in records], pa.string())
        for output, column in output_columns(job).items()
    }
    return Rows([position for position, _ in records], texts, make_batch(arrays, len(records)))


def output_columns(job: Job) -> dict[str, str]:
    """The columns that the output has from the input: name in the output to name in the input."""
    return ({"id": job.id} if job.id is not None else {}) | {name: name for name in job.copy}


def needed_columns(job: Job) -> tuple[str, ...]:
    """Columns of the input that ``job`` reads."""
    return (job.text, *output_columns(job).values())


def check_present(names: Sequence[str], job: Job) -> None:
    """Check that ``names`` has the columns that ``job`` needs.

    Raises:
        JobError: one is missing; the message lists the first of ``names``, escaped, since a file may be anything.
    """
    if missing := [name for name in needed_columns(job) if name not in names]:
        some = ", ".join(map(repr, names[:LISTED_NAMES]))[:LISTED_CHARACTERS]
        raise JobError(
            f"there is no column {missing[0]!r}; the columns are {some}{', …' * (len(names) > LISTED_NAMES)}"
        )


def check_unique(names: Sequence[str], job: Job) -> None:
    """Check that a header or a schema names each column that ``job`` needs once at most.

    Raises:
        JobError: it names one of them several times.
    """
    if twice := [name for name in needed_columns(job) if names.count(name) > 1]:
        raise JobError(f"there are {names.count(twice[0])} columns {twice[0]!r}; a job needs one of this name")


def make_batch(arrays: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    """A batch of ``rows`` rows, also without columns."""
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_pydict(arrays)


def check_text(value: object, job: Job) -> str | Problem:
    """``value`` if it can be embedded, else the problem."""
    if value is None:
        return Problem(f"the text is null (column {job.text!r})")
    return value


def check_id(value: object, job: Job) -> Problem | None:
    """The problem of an id."""
    return Problem(f"there is no id in column {job.id!r}") if value is None or value == "" else None


def _text(record: Record | Problem, job: Job) -> str | Problem:
    """The text of a record, or what is wrong with the record."""
    if isinstance(record, Problem):
        return record
    problems = (record.get(column) for column in output_columns(job).values())
    if problem := next((value for value in problems if isinstance(value, Problem)), None):
        return problem
    if job.id is not None and (problem := check_id(record.get(job.id), job)):
        return problem
    if job.text not in record:
        return Problem(f"there is no column {job.text!r}")
    return check_text(record[job.text], job)


def _plain(record: Record | Problem, column: str) -> str | None:
    value = None if isinstance(record, Problem) else record.get(column)
    return None if isinstance(value, Problem) else value
