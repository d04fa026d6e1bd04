"""Pieces of objects to rows: opens, decompresses, and reads ahead where objects are many and small."""

import io
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO

import pyarrow as pa

from ..errors import BulkError, InputError
from ..job import Format, Job
from ..split import Piece
from ..storage import Storage
from . import csv, jsonl, parquet
from .names import compression_of
from .rows import Problem, Record, Rows, check_names, from_records

CHUNK = 64
"""Rows that are read, and embedded, at a time; also the rows of a block of a share."""
AHEAD = 32
"""Small objects that are fetched at a time."""
RANGE_BUFFER, WHOLE_BUFFER = 1 << 20, 8 << 20
"""Bytes that are fetched at a time: a range is short, a whole object may be long."""

Item = tuple[int, bytes | list[str] | Problem]


def read_pieces(storage: Storage, pieces: tuple[Piece, ...], job: Job) -> Iterator[tuple[str, Rows]]:
    """The rows of ``pieces`` in their order, up to ``CHUNK`` at a time, each time with the key of their object.

    Raises:
        InputError: an object is missing, has changed, or cannot be read as a whole.
    """
    if len(pieces) == 1:
        files: Iterable[BinaryIO] = [open_piece(storage, pieces[0])]
    else:
        files = _fetched(storage, pieces)
    for piece, file in zip(pieces, files, strict=True):
        with explained(f"{storage.url}{piece.key}", job.format):
            for rows in _read(file, piece, job):
                yield piece.key, rows


def open_piece(storage: Storage, piece: Piece) -> BinaryIO:
    """The object of ``piece`` as a file that fetches what is read."""
    file = storage.open(piece.key, piece.size, piece.etag)
    return io.BufferedReader(file, WHOLE_BUFFER if piece.start is None else RANGE_BUFFER)


def _fetched(storage: Storage, pieces: tuple[Piece, ...]) -> Iterator[BinaryIO]:
    """The objects of ``pieces``, whole, the next ones fetched at the same time."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque = deque()
        rest = iter(pieces)
        while True:
            waiting.extend(
                pool.submit(storage.read, piece.key, 0, piece.size, piece.etag)
                for piece in islice(rest, AHEAD - len(waiting))
            )
            if not waiting:
                return
            yield io.BytesIO(waiting.popleft().result())


@contextmanager
def explained(place: str, format: Format) -> Iterator[None]:
    """Turns the errors of libraries, and of what is wrong with all of an object, into sentences that name the object."""
    try:
        yield
    except BulkError as error:
        if place in str(error):
            raise
        raise InputError(f"{place}: {error}") from error
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise InputError(f"{place}: cannot be read as {format} ({error})") from error


def _read(file: BinaryIO, piece: Piece, job: Job) -> Iterator[Rows]:
    if job.format == "parquet":
        yield from parquet.read(file, piece.start or 0, piece.stop, job, CHUNK)
        return
    header, numbered = items(file, piece, job)
    numbered = islice(numbered, piece.limit)
    if piece.of is not None:
        numbered = (item for index, item in enumerate(numbered) if index // CHUNK % piece.of == piece.share)
    while True:
        some = list(islice(numbered, CHUNK))
        yield from_records([(position, parsed(value, header, job)) for position, value in some], job)
        if len(some) < CHUNK:
            return


def items(file: BinaryIO, piece: Piece, job: Job) -> tuple[list[str], Iterator[Item]]:
    """The header of a CSV, and the rows of ``piece`` with their positions, not parsed yet, neither limited nor shared.

    Raises:
        InputError: a CSV has no header.
        JobError: the header names a column that ``job`` needs several times.
    """
    if compression := compression_of(piece.key):
        file = io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), compression), RANGE_BUFFER)
    if job.format == "jsonl":
        return [], jsonl.items(file, piece.start or 0, piece.stop)
    numbered = csv.items(file)
    _, header = next(numbered, (-1, Problem("it is empty")))
    if isinstance(header, Problem):
        raise InputError(f"it has no header: {header}")
    check_names(header, job)
    return header, numbered


def parsed(value: bytes | list[str] | Problem, header: list[str], job: Job) -> Record | Problem:
    """The columns of a row that ``job`` needs."""
    if isinstance(value, Problem):
        return value
    return jsonl.parse(value, job) if isinstance(value, bytes) else csv.parse(header, value, job)
