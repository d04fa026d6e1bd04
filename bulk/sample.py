"""What there is to embed, and how long it takes: a survey of the input, and rows of it that are embedded and timed."""

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, islice
from time import perf_counter

import msgspec
import pyarrow as pa

from runtime.service.errors import RequestError
from runtime.service.service import Service

from .embedding import embed_options, embed_texts
from .errors import JobError
from .inputs import jsonl, parquet
from .inputs.names import COMPRESSIONS, FORMATS, Compression, compression_of, format_of, is_hidden
from .inputs.reader import explained, items, open_piece, parsed, read_pieces
from .inputs.rows import Problem, check_present, from_records, needed_columns
from .job import Job
from .split import Piece
from .storage import Object, Storage, open_input, open_storage, resolve_input

PROBED_ROWS = 1000
"""Rows of the first object that are searched for the job's columns."""
PLACES = 8
"""Places of the input that rows are sampled from."""
FOOTERS = 64
"""Footers of Parquet objects that are read at a time."""
EXPANSION_BYTES = 256 << 10
"""Compressed bytes from whose expansion that of an object is estimated."""


LEAST_SECONDS = 1e-6
"""Seconds of work that a byte has at least; else sampled rows that are all bad would make one split of everything."""


class Corpus(msgspec.Struct, frozen=True):
    """The objects of a job's input."""

    job: Job
    """With absolute places and the format."""
    storage: Storage
    objects: list[Object]
    rows: dict[str, int]
    """Rows of Parquet objects, by key."""


class Rates(msgspec.Struct, frozen=True):
    """What a unit of the input holds; a unit is a byte, after decompression, or a row of Parquet."""

    seconds: float
    rows: float
    tokens: float
    expansions: dict[Compression | None, float]
    """Bytes for each byte of an object, by its compression."""
    sampled_rows: int

    def units(self, piece: Piece, corpus: Corpus) -> float:
        """The size of ``piece``."""
        if piece.stop is not None:
            return piece.stop - (piece.start or 0)
        whole = piece.size * self.expansions[compression_of(piece.key)]
        if piece.limit is not None and self.rows:
            whole = min(whole, piece.limit / self.rows)
        return whole / (piece.of or 1)


def survey(job: Job, service: Service) -> Corpus:
    """List the input of ``job`` and check what can be checked before anything is embedded.

    Raises:
        JobError: there is no input, it lacks columns that the job names, or the model cannot do what the job asks for.
    """
    try:
        service.prompt(job.prompt_name)
        service.check_options(embed_options(job))
    except RequestError as error:
        raise JobError(f"the job is not allowed: {error}") from None
    job = msgspec.structs.replace(job, input=resolve_input(job.input), output=open_storage(job.output).url)
    storage, name = open_input(job.input)
    objects = [
        each for each in storage.list(name) if each.size and (each.key == name if name else not is_hidden(each.key))
    ]
    if not objects:
        raise JobError(f"{job.input}: there are no objects with rows (names that begin with _ or . do not count)")
    job = msgspec.structs.replace(job, format=job.format or _format(job, objects))
    if job.format == "parquet":
        return _parquet_corpus(job, storage, objects)
    _check_columns(job, storage, objects[0])
    return Corpus(job, storage, objects, {})


def _format(job: Job, objects: list[Object]) -> str:
    formats = {format_of(each.key): each.key for each in objects}
    if None in formats:
        endings = f"{', '.join(FORMATS)}, and after them {', '.join(COMPRESSIONS)}"
        raise JobError(
            f"{job.input}: what format is {formats[None]}? Name the job's `format`; known endings are {endings}"
        )
    if len(formats) > 1:
        some = " and ".join(sorted(formats.values())[:2])
        raise JobError(f"{job.input}: has objects of several formats, such as {some}; a job takes one format")
    return next(iter(formats))


def _parquet_corpus(job: Job, storage: Storage, objects: list[Object]) -> Corpus:
    def read(each: Object) -> tuple[pa.Schema, int]:
        with explained(f"{storage.url}{each.key}", "parquet"):
            return parquet.schema(storage.open(each.key, each.size, each.etag))

    needed = needed_columns(job)
    with ThreadPoolExecutor(FOOTERS) as pool:
        first, rows = None, {}
        for each, (columns, count) in zip(objects, pool.map(read, objects), strict=True):
            try:
                parquet.check_columns(columns, job)
            except JobError as error:
                raise JobError(f"{storage.url}{each.key}: {error}") from None
            types = {name: columns.field(name).type for name in needed}
            first = first or types
            if different := [name for name in needed if types[name] != first[name] and name != job.text]:
                raise JobError(
                    f"{storage.url}{each.key}: column {different[0]!r} has the type {types[different[0]]}, "
                    f"in {objects[0].key} {first[different[0]]}"
                )
            rows[each.key] = count
    objects = [each for each in objects if rows[each.key]]
    if not objects:
        raise JobError(f"{job.input}: there are no rows")
    return Corpus(job, storage, objects, rows)


def _check_columns(job: Job, storage: Storage, first: Object) -> None:
    """Check that the first rows of the input have the job's columns. A row may lack one, all rows may not."""
    piece = Piece(first.key, first.size, first.etag)
    with explained(place := f"{storage.url}{first.key}", job.format):
        header, numbered = items(open_piece(storage, piece), piece, job)
        some = [value for _, value in islice(numbered, PROBED_ROWS)]
    names = dict.fromkeys(header or (name for line in some if isinstance(line, bytes) for name in jsonl.columns(line)))
    if not names:
        reason = jsonl.parse(some[0], job) if some and isinstance(some[0], bytes) else "it has no rows"
        raise JobError(f"{place}: is not JSON Lines: {reason}")
    try:
        check_present(list(names), job)
    except JobError as error:
        raise JobError(f"{place}: {error}") from None


def measure(corpus: Corpus, service: Service, rows: int, seconds: float) -> Rates:
    """Embed rows of the input from several places, until there are ``rows`` or ``seconds`` are over."""
    units, count, tokens, spent = 0, 0, 0, 0.0
    start = perf_counter()
    places = _places(corpus)
    for number, piece in enumerate(places):
        room = -(-(rows - count) // (len(places) - number))
        for size, text in islice(_sizes_and_texts(corpus, piece), room):
            before = perf_counter()
            embedded = embed_texts([text], corpus.job, service)
            spent += perf_counter() - before
            units, count, tokens = units + size, count + 1, tokens + sum(embedded.tokens)
            if perf_counter() - start > seconds * (number + 1) / len(places):
                break
    units = max(units, 1)
    seconds_per_unit = max(spent / units, LEAST_SECONDS)
    return Rates(seconds_per_unit, count / units, tokens / units, _expansions(corpus, places), count)


def _places(corpus: Corpus) -> list[Piece]:
    """Rests of objects, which begin evenly over the bytes of the input where an object can be read from the middle."""
    ends = list(accumulate(each.size for each in corpus.objects))
    places = {}
    for number in range(PLACES):
        offset = ends[-1] * number // PLACES
        index = bisect_right(ends, offset)
        each = corpus.objects[index]
        inside = offset - (ends[index] - each.size)
        start = stop = None
        if corpus.job.format == "parquet":
            stop = corpus.rows[each.key]
            start = stop * inside // each.size
        elif corpus.job.format == "jsonl" and not compression_of(each.key):
            start, stop = inside, each.size
        places[each.key, start] = Piece(each.key, each.size, each.etag, start, stop)
    return list(places.values())


def _sizes_and_texts(corpus: Corpus, piece: Piece) -> Iterator[tuple[int, str | Problem]]:
    """The units and the text of each row of ``piece``."""
    job, storage = corpus.job, corpus.storage
    if job.format == "parquet":
        for _, rows in read_pieces(storage, (piece,), job):
            for text in rows.texts:
                yield 1, text
        return
    with explained(f"{storage.url}{piece.key}", job.format):
        header, numbered = items(open_piece(storage, piece), piece, job)
        for position, value in numbered:
            (text,) = from_records([(position, parsed(value, header, job))], job).texts
            yield len(value) if isinstance(value, bytes) else len(",".join(value)) + 1, text


def _expansions(corpus: Corpus, places: list[Piece]) -> dict[Compression | None, float]:
    """For each compression of the input the mean expansion of ``places``, or that of the first object if none has it."""
    found: dict[Compression | None, list[float]] = {None: [1.0]}
    for each in places:
        if compression := compression_of(each.key):
            found.setdefault(compression, []).append(_expansion(corpus.storage, each))
    for each in corpus.objects:
        if (compression := compression_of(each.key)) not in found:
            found[compression] = [_expansion(corpus.storage, each)]
    return {compression: sum(some) / len(some) for compression, some in found.items()}


def _expansion(storage: Storage, piece: Piece | Object) -> float:
    """Bytes for each byte of a compressed object, by its beginning."""
    head = storage.read(piece.key, 0, min(piece.size, EXPANSION_BYTES), piece.etag)
    stream = pa.CompressedInputStream(pa.BufferReader(head), compression_of(piece.key))
    size = 0
    try:
        while block := stream.read(1 << 16):
            size += len(block)
    except OSError:  # the beginning of an object ends inside a block
        pass
    return max(size / len(head), 1.0)
