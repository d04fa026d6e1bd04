"""The output of ``embed``: parts beside it while a run lasts, and at its end the file and the errors."""

import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from .errors import CommandError, ExitCode
from .inputs import PROBLEM, TEXT

ROW_GROUP = 4096


class Parts:
    """The folder ``OUTPUT.parts``. The name of a part says what is in it, by a hash of its rows, so that a part that is there
    is never embedded again, and a part of rows that have changed since is not used."""

    def __init__(self, output: Path) -> None:
        self.folder = output.with_name(output.name + ".parts")
        self._job = self.folder / "job.json"

    def begin(self, job: dict[str, Any]) -> None:
        """Make the folder, for vectors that are made as ``job`` says.

        Raises:
            CommandError: its parts were made otherwise.
        """
        self.folder.mkdir(exist_ok=True)
        try:
            before = json.loads(self._job.read_text())
        except FileNotFoundError:
            _write(self._job, json.dumps(job).encode())
            return
        if before != job:
            changed = "; ".join(
                f"{name} was {before.get(name)!r}, now {value!r}"
                for name, value in job.items()
                if before.get(name) != value
            )
            raise CommandError(
                f"{self.folder} holds vectors that were made otherwise ({changed}); remove it to begin anew, or name another output"
            )

    def path(self, index: int, chunk: pa.Table) -> Path:
        """Where the part of ``chunk``, the ``index``-th of a run, is."""
        sink = pa.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, chunk.schema) as stream:
            stream.write_table(chunk)
        return self.folder / f"{index:07}-{hashlib.sha256(sink.getvalue()).hexdigest()[:24]}.parquet"

    def save(self, path: Path, part: pa.Table) -> None:
        """Write a part. It appears at once."""
        sink = pa.BufferOutputStream()
        pq.write_table(part, sink, compression="none", use_dictionary=False)
        _write(path, sink.getvalue())

    def rows(self, paths: Iterable[Path]) -> int:
        """How many rows are in the parts at ``paths`` that exist."""
        return sum(pq.read_metadata(path).num_rows for path in paths if path.exists())

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(path: Path, data: bytes | pa.Buffer) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def make_part(chunk: pa.Table, vectors: np.ndarray, problems: list[str | None]) -> pa.Table:
    """The rows of ``chunk`` with their vectors, float32 [rows, dimensions], and why some have none."""
    count, dimensions = vectors.shape
    offsets = np.arange(0, count * dimensions + 1, dimensions, np.int32)
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
    part = chunk.drop_columns([TEXT, PROBLEM])
    return part.append_column("vector", lists).append_column(PROBLEM, pa.array(problems, pa.string()))


class Writer(Protocol):
    """Writes rows with vectors, in their order."""

    keeps_refused: bool
    """Whether it takes rows without a vector too, whose numbers are NaN."""

    def add(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


class ParquetWriter:
    """``list<float32>``, plain, zstd, no schema of Arrow's own: all readers of Parquet take it."""

    keeps_refused = False

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        strings = [field.name for field in schema if pa.types.is_string(field.type)]
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=strings, store_schema=False)
        self._waiting: list[pa.Table] = [schema.empty_table()]

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.concat_tables(self._waiting), ROW_GROUP)
        self._waiting = self._waiting[:1]


class JsonlWriter:
    """A JSON object a line; numbers are the shortest that are the same float32."""

    keeps_refused = False

    def __init__(self, file: BinaryIO, schema: pa.Schema | None = None) -> None:
        self._file = file

    def add(self, table: pa.Table) -> None:
        if not len(table):
            return
        vectors = vectors_of(table)
        rows = table.drop_columns(["vector"]).to_pylist()
        for row, vector in zip(rows, vectors, strict=True):
            line = row | {"vector": vector}
            self._file.write(
                orjson.dumps(line, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
            )
        self._file.flush()

    def close(self) -> None:
        self._file.flush()


class NpyWriter:
    """float32 [rows, dimensions] in numpy's format, a row for each row of the input: NaN where it could not be embedded."""

    keeps_refused = True

    def __init__(self, file: BinaryIO, schema: pa.Schema | None = None) -> None:
        self._file = file
        self._rows = self._dimensions = 0

    def add(self, table: pa.Table) -> None:
        vectors = vectors_of(table)
        if not self._rows:
            self._dimensions = vectors.shape[1]
            self._write_header()
        self._rows += len(vectors)
        self._file.write(vectors.astype("<f4", copy=False).tobytes())

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        """It has the same length for all numbers of rows: numpy leaves room for them to grow."""
        shape = (self._rows, self._dimensions)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})


WRITERS: dict[str, type[ParquetWriter] | type[JsonlWriter] | type[NpyWriter]] = {
    ".parquet": ParquetWriter,
    ".jsonl": JsonlWriter,
    ".npy": NpyWriter,
}


def vectors_of(table: pa.Table) -> np.ndarray:
    """The column ``vector``: float32 [rows, dimensions]."""
    lists = table.column("vector").combine_chunks()
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1)


class Errors:
    """The rows that could not be embedded, of all that are added: their number, the first one, and a line of JSON for each.
    Also counts ids that occur more than once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.rows = self.count = 0
        self.first = ""
        self._ids = array("q")
        """Hashes of the ids of the rows that are embedded: 8 bytes a row."""

    def add(self, part: pa.Table) -> None:
        self.rows += len(part)
        known = [name for name in ("source", "position", "id") if name in part.column_names]
        for row in part.filter(pc.is_valid(part.column(PROBLEM))).select([*known, PROBLEM]).to_pylist():
            reason = row.pop(PROBLEM)
            if not self.count:
                self.first = f"{row['source']}, position {row['position']}: {reason}"
            self.count += 1
            self._file.write(orjson.dumps(row | {"reason": reason}, default=str, option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        if "id" in known:
            ids = part.filter(pc.is_null(part.column(PROBLEM))).column("id").to_pylist()
            # Those of -1 and -2 are the same, those of "-1" and "-2" are not.
            self._ids.extend(hash(str(id)) for id in ids)

    @property
    def repeated_ids(self) -> int:
        """Rows with the id of an earlier row."""
        return len(self._ids) - len(np.unique(self._ids))


def without_problems(part: pa.Table, has_id: bool, keep_refused: bool) -> pa.Table:
    """The rows of the output in a part; those with an id need no place."""
    if not keep_refused:
        part = part.filter(pc.is_null(part.column(PROBLEM)))
    return part.drop_columns([PROBLEM, *(["source", "position"] if has_id else [])])


def join(output: Path, parts: Iterable[Path], has_id: bool) -> tuple[int, Errors]:
    """Write ``output`` and its errors from the parts. Returns the number of rows in ``output``, and the errors."""
    temporary, errors_path = output.with_name(f".{output.name}.{os.getpid()}"), errors_of(output)
    errors_temporary = temporary.with_name(temporary.name + ".errors")
    rows = 0
    try:
        with temporary.open("wb") as file, errors_temporary.open("wb") as errors_file:
            errors, writer = Errors(errors_file), None
            for part in _read(parts):
                errors.add(part)
                kind = WRITERS[output.suffix]
                table = without_problems(part, has_id, kind.keeps_refused)
                writer = writer or kind(file, table.schema)
                writer.add(table)
                rows += len(table)
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        if output.exists():
            raise CommandError(f"{output} was written by another run meanwhile; it is left as it is", ExitCode.FAILED)
        if errors.count:
            errors_temporary.replace(errors_path)
        else:
            errors_path.unlink(missing_ok=True)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
        errors_temporary.unlink(missing_ok=True)
    return rows, errors


def _read(parts: Iterable[Path]) -> Iterator[pa.Table]:
    for path in parts:
        try:
            yield pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise CommandError(f"{path} cannot be read ({error}); remove it and start again", ExitCode.FAILED) from None


def errors_of(output: Path) -> Path:
    """The file of rows that could not be embedded."""
    return output.with_name(output.name + ".errors.jsonl")
