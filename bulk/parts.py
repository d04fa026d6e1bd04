"""Parts: the Parquet files of an output.

``list<float32>``, plain and compressed by zstd, is what all readers of Parquet take; fixed-size lists and dictionaries of vectors
are not. Arrow's own schema is left out, so that all readers see the same types.
"""

import io
from typing import BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import InputError
from .storage import Storage

ROW_GROUP = 1024
"""Rows of a row group: 1.5 MB of vectors with 384 numbers."""
METADATA = b"serverless-embeddings"
"""Key of the counts in a part's metadata."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a part, or in several."""

    rows: int = 0
    errors: int = 0
    """Rows that could not be embedded."""
    tokens: int = 0
    truncated: int = 0
    """Rows whose text was cut off."""
    seconds: float = 0.0
    """Time that the workers took."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class PartWriter:
    """Writes rows to a part, in row groups; the first rows decide on the types of the columns. A context manager."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._batches: list[pa.RecordBatch] = []
        self._waiting = 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, *_) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows.

        Raises:
            InputError: a column cannot have the type that it had in the first rows.
        """
        if self._writer is None:
            self._writer = _open(self._file, batch.schema)
        try:
            self._batches.append(batch.cast(self._writer.schema))
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"a column has another type than in the objects before ({error})") from error
        self._waiting += len(batch)
        if self._waiting >= ROW_GROUP:
            self._write()

    def finish(self, maker: dict, counts: Counts) -> None:
        """End the file with what made it, and its counts."""
        self._write()
        self._writer.add_key_value_metadata({METADATA: msgspec.json.encode({"made_by": maker, "counts": counts})})
        self._writer.close()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._batches, self._writer.schema), ROW_GROUP)
        self._batches, self._waiting = [], 0


def _open(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    numbers = [field.name for field in schema if pa.types.is_integer(field.type)]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=strings,
        write_statistics=strings + numbers,
        store_schema=False,
    )


def vector_array(vectors: np.ndarray) -> pa.ListArray:
    """float32 or int8 [rows, dimensions] as lists."""
    rows, dimensions = vectors.shape
    offsets = np.arange(0, rows * dimensions + 1, dimensions, np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))


def read_counts(output: Storage, key: str, size: int) -> Counts:
    """The counts of a part."""
    metadata = pq.read_metadata(pa.PythonFile(io.BufferedReader(output.open(key, size)), "r")).metadata
    return msgspec.convert(msgspec.json.decode(metadata[METADATA])["counts"], Counts)


def read_ids(output: Storage, key: str, size: int) -> pa.Array:
    """The column ``id`` of a part."""
    file = pa.PythonFile(io.BufferedReader(output.open(key, size)), "r")
    return pq.ParquetFile(file).read(["id"]).column("id").combine_chunks()
