"""JSON Lines (https://jsonlines.org): one object a line, in UTF-8."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from ..job import Job
from .rows import MAX_ROW_BYTES, Problem, Record, output_columns

BOM = b"\xef\xbb\xbf"
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def items(file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes | Problem]]:
    """The lines that begin from byte ``start`` to before byte ``stop``, with the bytes where they begin; blank lines are left out.

    ``file`` stands at its beginning; it needs to be seekable only if ``start`` is not 0.
    """
    position = start
    if start:
        # The line that begins at `start` is this range's if the byte before it ends a line.
        file.seek(start - 1)
        position += _skip_line(file) - 1
    while stop is None or position < stop:
        line = file.readline(MAX_ROW_BYTES)
        if not line:
            return
        begin, length = position, len(line)
        whole = line.endswith(b"\n") or length < MAX_ROW_BYTES
        if not whole:
            length += _skip_line(file)
            line = Problem(f"the line has {length} bytes; {MAX_ROW_BYTES} are allowed")
        elif begin == 0:
            line = line.removeprefix(BOM)
        position += length
        if not whole or line.strip():
            yield begin, line


def _skip_line(file: BinaryIO) -> int:
    """Read to the end of the line. Returns the number of bytes."""
    length = 0
    while block := file.readline(1 << 20):
        length += len(block)
        if block.endswith(b"\n"):
            break
    return length


def parse(line: bytes, job: Job) -> Record | Problem:
    """The columns of ``line`` that ``job`` needs."""
    try:
        record = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Problem(f"the line is not a JSON object in UTF-8 ({error})")
    except RecursionError:
        return Problem("the line is nested too deeply")
    values = {output: _as_string(record[output]) for output in output_columns(job).values() if output in record}
    if job.text in record:
        values[job.text] = _as_text(record[job.text], job)
    return values


def columns(line: bytes) -> list[str]:
    """The names of the columns in ``line``, none if it is broken."""
    try:
        return list(_decoder.decode(line))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _as_string(value: msgspec.Raw) -> str | Problem | None:
    """A string as it is, other JSON as it is written."""
    raw = bytes(value)
    try:
        if raw.startswith(b'"'):
            return msgspec.json.decode(raw, type=str)
        return None if raw == b"null" else raw.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Problem(f"a string of the line is not valid ({error})")


def _as_text(value: msgspec.Raw, job: Job) -> str | Problem | None:
    if bytes(value)[:1] not in (b'"', b"n"):
        return Problem(f"the text is not a string (column {job.text!r})")
    return _as_string(value)
