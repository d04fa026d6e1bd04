"""The rows of files: texts, ids, and columns that are copied to the output.

Rows that cannot be embedded are rows with a ``PROBLEM``; what is wrong with all of a file is a ``CommandError``.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import CommandError

FORMATS = {".txt": "txt", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
STDIN = "-"
TEXT, PROBLEM = "\0text", "\0problem"
"""Columns of a chunk besides those of the output: the text, or else the reason why there is none. A file has no such names."""
OUTPUT_COLUMNS = ("id", "source", "position", "vector")
READ_ROWS = 512
FIELD_BYTES = 32 << 20
"""Most bytes of a field of a CSV; Python's own limit is 131,072."""


@dataclass(frozen=True)
class Columns:
    """The columns that are read."""

    text: str
    id: str | None
    copy: tuple[str, ...]

    @property
    def output(self) -> dict[str, str]:
        """Columns of the output that come from the input: name there to name here."""
        return ({"id": self.id} if self.id is not None else {}) | {name: name for name in self.copy}

    def check(self, found: Iterable[str], source: str) -> None:
        """Check that ``source``, with the columns ``found``, has all.

        Raises:
            CommandError: one is missing, or is there twice.
        """
        found = list(found)
        for name in (self.text, *self.output.values()):
            if name not in found:
                raise CommandError(f"{source} has no column {name!r}; it has {', '.join(map(repr, found)) or 'none'}")
            if found.count(name) > 1:
                raise CommandError(f"{source} has more than one column {name!r}")


@dataclass(frozen=True)
class Input:
    """A file, or standard input."""

    name: str
    format: str
    columns: Columns

    def schema(self) -> pa.Schema:
        """The types of the columns that are copied. Text formats have strings.

        Raises:
            CommandError: the file cannot be read, or is Parquet and lacks a column, or has one of a wrong type.
        """
        if self.format != "parquet":
            return pa.schema([(name, pa.string()) for name in self.columns.output])
        with self._explained(), pq.ParquetFile(self.name) as file:
            found = file.schema_arrow
            self.columns.check(found.names, self.name)
            kind = found.field(self.columns.text).type
            if not _is_string(kind):
                raise CommandError(f"{self.name}: column {self.columns.text!r} has the type {kind}; texts are strings")
            schema = pa.schema([(name, found.field(column).type) for name, column in self.columns.output.items()])
            if self.columns.id is not None and not (
                _is_string(kind := schema.field("id").type) or pa.types.is_integer(kind)
            ):
                raise CommandError(
                    f"{self.name}: column {self.columns.id!r} has the type {kind}; ids are strings or integers"
                )
            return schema

    def tables(self) -> Iterator[pa.Table]:
        """The rows, some hundreds at a time.

        Raises:
            CommandError: the file cannot be read.
        """
        with self._explained():
            if self.format == "parquet":
                yield from self._parquet()
                return
            with self._open() as file:
                rows: list[tuple[int, dict[str, Any] | str]] = []
                for row in getattr(self, f"_{self.format}")(file):
                    rows.append(row)
                    if len(rows) == READ_ROWS:
                        yield self._table(rows)
                        rows = []
                if rows:
                    yield self._table(rows)

    def _open(self) -> BinaryIO:
        if self.name == STDIN:
            return sys.stdin.buffer
        return io.BufferedReader(pa.input_stream(self.name, COMPRESSIONS.get(Path(self.name).suffix.lower())))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise CommandError(f"there is no file {self.name}") from None
        except UnicodeDecodeError as error:
            raise CommandError(
                f"{self.name} is not in UTF-8 ({error}); convert it, as with `iconv -f ENCODING -t utf-8`"
            ) from None
        except (OSError, pa.ArrowException) as error:
            raise CommandError(f"{self.name} cannot be read as {self.format}: {error}") from None

    def _txt(self, file: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
        self.columns.check(["text"], self.name)
        for number, line in self._lines(file):
            yield number, {"text": line}

    def _jsonl(self, file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
        checked = False
        for number, line in self._lines(file):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"the line is not JSON ({error})"
                continue
            if not isinstance(row, dict):
                yield number, "the line is not a JSON object"
                continue
            if not checked:
                self.columns.check(row, f"{self.name}, line {number + 1},")
                checked = True
            yield number, row

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, with their numbers, from 0."""
        for number, line in enumerate(file):
            try:
                text = line.decode("utf-8-sig" if number == 0 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise CommandError(
                    f"{self.name}, line {number + 1}, is not in UTF-8 ({error.reason}); "
                    "convert the file, as with `iconv -f ENCODING -t utf-8`"
                ) from None
            if text.strip():
                yield number, text

    def _csv(self, file: BinaryIO) -> Iterator[tuple[int, dict[str, str] | str]]:
        csv.field_size_limit(FIELD_BYTES)
        reader = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), strict=True)
        header: list[str] | None = None
        number = 0
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, f"the row is not valid CSV ({error})"
                number += 1
                continue
            if not row:
                continue
            if header is None:
                self.columns.check(row, self.name)
                header = row
                continue
            fits = len(row) == len(header)
            yield (
                number,
                dict(zip(header, row, strict=True))
                if fits
                else (f"the row has {len(row)} fields, the header {len(header)}"),
            )
            number += 1

    def _parquet(self) -> Iterator[pa.Table]:
        position = 0
        with pq.ParquetFile(self.name) as file:
            columns = sorted({self.columns.text, *self.columns.output.values()})
            for batch in file.iter_batches(READ_ROWS, columns=columns):
                texts = batch.column(self.columns.text).to_pylist()
                ids = batch.column(self.columns.id).to_pylist() if self.columns.id is not None else [None] * len(texts)
                problems = [self._problem(text, id) for text, id in zip(texts, ids, strict=True)]
                copied = {name: batch.column(column) for name, column in self.columns.output.items()}
                yield self._with_place(range(position, position + len(texts)), copied, texts, problems)
                position += len(texts)

    def _table(self, rows: list[tuple[int, dict[str, Any] | str]]) -> pa.Table:
        records = [{} if isinstance(row, str) else row for _, row in rows]
        problems = [
            row if isinstance(row, str) else self._problem(row.get(self.columns.text), row.get(self.columns.id))
            for _, row in rows
        ]
        texts = [None if problem else row[self.columns.text] for row, problem in zip(records, problems, strict=True)]
        copied = {
            name: pa.array([_as_string(row.get(column)) for row in records], pa.string())
            for name, column in self.columns.output.items()
        }
        return self._with_place([number for number, _ in rows], copied, texts, problems)

    def _with_place(
        self, numbers: Iterable[int], copied: dict[str, pa.Array], texts: list[str | None], problems: list[str | None]
    ) -> pa.Table:
        numbers = list(numbers)
        place = {"source": pa.array([self.name] * len(numbers), pa.string()), "position": pa.array(numbers, pa.int64())}
        return pa.table(place | copied | {TEXT: pa.array(texts, pa.string()), PROBLEM: pa.array(problems, pa.string())})

    def _problem(self, text: Any, id: Any) -> str | None:
        if self.columns.id is not None and id in (None, ""):
            return f"there is no id in column {self.columns.id!r}"
        if text is None:
            return f"there is no text in column {self.columns.text!r}"
        if not isinstance(text, str):
            return f"the text is not a string (column {self.columns.text!r})"
        try:
            text.encode()
        except UnicodeEncodeError:
            return f"the text is not valid Unicode (column {self.columns.text!r})"
        return None


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _fits_json(kind: pa.DataType) -> bool:
    """Whether JSON can hold the values: it has no bytes, and ``datetime`` no nanoseconds."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind.num_fields:
        return all(_fits_json(kind.field(index).type) for index in range(kind.num_fields))
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return not (is_bytes or pa.types.is_fixed_size_binary(kind) or getattr(kind, "unit", None) == "ns")


def _as_string(value: Any) -> str | None:
    """Strings as they are, other values of JSON as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode()


def find_inputs(names: list[str], format: str | None, columns: Columns, to_json: bool) -> list[Input]:
    """The inputs; those that can be checked without reading all of them are. ``to_json`` is whether the output is JSONL.

    Raises:
        CommandError: a file does not exist, its format is unknown, or its columns do not fit; standard input is closed.
    """
    for name in columns.copy:
        if name in OUTPUT_COLUMNS:
            raise CommandError(f"a copied column cannot be called {name!r}, as one of the output is")
    inputs = [Input(name, format or _format_of(name), columns) for name in names]
    if names.count(STDIN) > 1:
        raise CommandError("standard input can be given once")
    if STDIN in names and sys.stdin is None:
        raise CommandError("standard input is closed")
    if any(each.name == STDIN and each.format == "parquet" for each in inputs):
        raise CommandError("Parquet cannot be read from standard input; give the file's name")
    if len({Path(name).resolve() for name in names}) < len(names):
        raise CommandError("a file is given twice")
    for each in inputs:
        if each.name != STDIN and not Path(each.name).is_file():
            raise CommandError(f"there is no file {each.name}")
    schemas = [each.schema() for each in inputs]
    for each, schema in zip(inputs, schemas, strict=True):
        if to_json and (unfit := next((field for field in schema if not _fits_json(field.type)), None)):
            raise CommandError(
                f"{each.name}: JSON cannot hold column {unfit.name!r}, of the type {unfit.type}; write .parquet"
            )
        if schema != schemas[0]:
            raise CommandError(
                f"the copied columns of {each.name} ({_types(schema)}) have other types than those of "
                f"{inputs[0].name} ({_types(schemas[0])})"
            )
    return inputs


def _format_of(name: str) -> str:
    if name == STDIN:
        return "txt"
    path = Path(name)
    ending = Path(path.stem).suffix if path.suffix.lower() in COMPRESSIONS else path.suffix
    if ending.lower() not in FORMATS:
        raise CommandError(f"{name}: the name tells no format ({', '.join(FORMATS)}); --format does")
    return FORMATS[ending.lower()]


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def chunks(inputs: list[Input], rows: int) -> Iterator[pa.Table]:
    """The rows of all inputs in their order, ``rows`` at a time."""
    waiting: list[pa.Table] = []
    count = 0
    for table in (table for each in inputs for table in each.tables()):
        waiting.append(table)
        count += len(table)
        while count >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows).combine_chunks()
            waiting, count = [joined.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting).combine_chunks()
