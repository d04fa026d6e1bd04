"""Format and compression of an object by the ending of its name."""

from typing import Literal

from ..job import Format

Compression = Literal["gzip", "zstd"]

FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}


def compression_of(key: str) -> Compression | None:
    """The compression that the object's name ends with."""
    return next((name for ending, name in COMPRESSIONS.items() if key.lower().endswith(ending)), None)


def format_of(key: str) -> Format | None:
    """The format that the object's name ends with, before the ending of a compression."""
    name = key.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return next((format for ending, format in FORMATS.items() if name.endswith(ending)), None)


def is_hidden(key: str) -> bool:
    """Whether the object is no data by Hadoop's and Spark's rule: its name, or a folder's, begins with ``_`` or ``.``."""
    return any(part.startswith(("_", ".")) for part in key.split("/"))
