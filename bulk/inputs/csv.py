"""CSV by RFC 4180: commas, quotes that are doubled inside quotes, a header, in UTF-8.

After a row with broken quotes the next row is what begins in the next line.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import InputError
from ..job import Job
from .rows import MAX_ROW_BYTES, Problem, Record, needed_columns


def items(file: BinaryIO) -> Iterator[tuple[int, list[str] | Problem]]:
    """The header, with the number -1, and the rows, numbered from 0; blank lines are left out.

    Bytes that are not UTF-8 are surrogates.

    Raises:
        InputError: a line is too long.
    """
    csv.field_size_limit(MAX_ROW_BYTES)
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(_lines(text), strict=True)
    number = -1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = Problem(f"the row is not valid CSV ({error})")
        if row:
            yield number, row
            number += 1


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_ROW_BYTES):
        if len(line) == MAX_ROW_BYTES and not line.endswith(("\n", "\r")):
            raise InputError(f"a line has more than {MAX_ROW_BYTES} characters")
        yield line


def parse(header: list[str], row: list[str], job: Job) -> Record | Problem:
    """The columns of ``row`` that ``job`` needs."""
    if len(row) != len(header):
        return Problem(f"the row has {len(row)} fields, the header {len(header)}")
    record: dict[str, str | Problem] = dict(zip(header, row, strict=True))
    return {name: _checked(name, record[name]) for name in set(needed_columns(job)) if name in record}


def _checked(name: str, value: str) -> str | Problem:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Problem(f"column {name!r} is not in UTF-8")
    return value
