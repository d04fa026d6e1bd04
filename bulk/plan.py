"""The first step of a run: lists the input, divides it into splits and writes those that are to do into a manifest."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from math import ceil

import msgspec

from runtime.service.service import Service

from .errors import InputError, OutputError
from .inputs.names import compression_of
from .inputs.reader import explained, items, open_piece
from .job import Job
from .ledger import (
    JOB_FILE,
    Coverage,
    Ledger,
    Maker,
    Run,
    check_maker,
    last_commit,
    read_maker,
    run_key,
    runs_of,
    write_splits,
)
from .sample import Corpus, Rates, measure, survey
from .split import Piece, Split, job_id, make_split
from .storage import Bucket, Object, Storage, open_storage

SPLIT_SECONDS = 120
"""Work of a split: far below Lambda's 15 minutes, also on a CPU half as fast, and long enough to keep 10,000 functions busy with
the 100 that Step Functions starts a second."""
SPLIT_BYTES = 100 << 10
"""Most bytes of a split's line in the manifest; Step Functions passes up to 256 KiB."""
PACKED_BYTES = 8 << 20
"""Most bytes of an object that shares a split with others; the worker fetches such objects whole, several at a time."""
PLAN_SAMPLE = {"rows": 128, "seconds": 3}
ESTIMATE_SAMPLE = {"rows": 1000, "seconds": 60}
NAMED = 5
"""Most objects that an error names."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to embed, extrapolated from rows that were embedded and timed."""

    objects: int
    bytes: int
    rows: int
    tokens: int
    seconds: float
    """On one CPU like this one."""
    sampled_rows: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would have to do."""

    splits: int
    """Splits to embed: those of earlier runs that have no part, and those of objects that are in none."""
    done: int
    """Splits of earlier runs whose parts exist."""
    todo: Estimate
    """The work in the splits to embed."""


class Planned(Forecast, frozen=True, kw_only=True):
    """What a run has to do."""

    job: Job
    """With absolute places and the format: the job that the other steps take."""
    run: int
    """Number of this run of the job, from 1."""
    manifest: dict[str, str]
    """Place of the manifest, JSONL with one split a line: ``bucket`` and ``key``, or ``path``."""


def plan(
    job: Job,
    service: Service,
    owner: str = "",
    is_running: Callable[[str], bool] = lambda owner: False,
    split_seconds: float = SPLIT_SECONDS,
) -> Planned:
    """Divide the input into splits of about ``split_seconds`` of work, and write the manifest of a new run.

    Args:
        owner: Names whoever runs the job, such as the ARN of an execution.
        is_running: Whether an owner's run is not over.

    Raises:
        JobError: the input does not have what the job asks for, or the model cannot do it.
        OutputError: the output belongs to another job, or another owner writes it now.
        InputError: an object that was embedded has changed since.
    """
    corpus = survey(job, service)
    job = corpus.job
    maker = _maker(job, service)
    output = open_storage(job.output)
    _check_free(output, maker, is_running)
    rates = measure(corpus, service, **PLAN_SAMPLE)
    run = _claim(output, maker, owner, is_running)
    ledger = Ledger(output)
    kept, fresh, done = _compare(corpus, ledger)
    added = list(_splits(corpus, fresh, rates, maker.id, split_seconds))
    write_splits(output, run_key(run, "splits.jsonl"), added)
    manifest = [*kept, *added]
    write_splits(output, run_key(run, "manifest.jsonl"), manifest)
    return Planned(
        job=job,
        run=run,
        manifest=_place(output, run_key(run, "manifest.jsonl")),
        splits=len(manifest),
        done=done,
        todo=_estimate(corpus, rates, [piece for split in manifest for piece in split.pieces]),
    )


def forecast(
    job: Job,
    service: Service,
    is_running: Callable[[str], bool] = lambda owner: False,
    split_seconds: float = SPLIT_SECONDS,
) -> Forecast:
    """What :func:`plan` would plan, from a larger sample. Writes nothing, and raises what :func:`plan` would raise."""
    corpus = survey(job, service)
    maker = _maker(corpus.job, service)
    output = open_storage(corpus.job.output)
    _check_free(output, maker, is_running)
    kept, fresh, done = _compare(corpus, Ledger(output))
    rates = measure(corpus, service, **ESTIMATE_SAMPLE)
    splits = [*kept, *_splits(corpus, fresh, rates, maker.id, split_seconds)]
    todo = _estimate(corpus, rates, [piece for split in splits for piece in split.pieces])
    return Forecast(splits=len(splits), done=done, todo=todo)


def _maker(job: Job, service: Service) -> Maker:
    manifest = service.manifest
    return Maker(
        id=job_id(job, service),
        job=job,
        model=manifest.model.id,
        revision=manifest.model.revision,
        artifact=manifest.key,
        dimensions=job.dimensions or manifest.dimensions,
    )


def _check_free(output: Storage, maker: Maker, is_running: Callable[[str], bool], before: int | None = None) -> None:
    """Check that no other job made ``output``, and that no run (``before`` a number) since the last commit is not over.

    Runs that were refused have records, too, so that the last one is not enough.
    """
    found = read_maker(output)
    if found is None:
        return
    check_maker(found, maker, output)
    runs = runs_of(output)
    committed = last_commit(output)
    for number in sorted(runs):
        if number > committed and "run.json" in runs[number] and (before is None or number < before):
            run = msgspec.json.decode(output.read(run_key(number, "run.json")), type=Run)
            if is_running(run.owner):
                raise OutputError(f"{output.url}: is written now, by {run.owner}, since {run.started}")


def _claim(output: Storage, maker: Maker, owner: str, is_running: Callable[[str], bool]) -> int:
    """Make ``output`` this job's, and begin its next run. Returns the run's number."""
    if not output.put_if_absent(JOB_FILE, msgspec.json.encode(maker)):
        check_maker(read_maker(output), maker, output)
    run = max(runs_of(output), default=0) + 1
    record = Run(owner=owner, started=datetime.now(UTC).isoformat(timespec="seconds"))
    if not output.put_if_absent(run_key(run, "run.json"), msgspec.json.encode(record)):
        raise OutputError(f"{output.url}: another run of this job has started at this moment")
    # Of two runs that found the output free at the same time, the second finds the record of the first.
    _check_free(output, maker, is_running, before=run)
    return run


def _compare(corpus: Corpus, ledger: Ledger) -> tuple[list[Split], list[Object], int]:
    """Compare the input with what was planned. Returns the splits of earlier runs that are to do, the objects that are in none,
    and how many splits are done.

    Raises:
        InputError: an object has changed after rows of it were embedded.
    """
    current = {each.key: each.etag for each in corpus.objects}
    coverage, kept, done, changed = Coverage(), [], 0, {}
    for split in filter(ledger.is_done, ledger.splits.values()):
        done += 1
        changed |= {piece.key: None for piece in split.pieces if current.get(piece.key, piece.etag) != piece.etag}
        if not coverage.add(split):
            raise OutputError(f"part {split.part} has rows that another part has; write to another output")
    for split in ledger.splits.values():
        if ledger.is_done(split):
            continue
        if all(current.get(piece.key) == piece.etag for piece in split.pieces):
            if coverage.add(split):
                kept.append(split)
        elif corpus.job.limit is not None:
            changed |= {piece.key: None for piece in split.pieces}
    if changed:
        names = ", ".join(list(changed)[:NAMED]) + ", …" * (len(changed) > NAMED)
        raise InputError(
            f"{corpus.job.input}: objects changed after rows of them were embedded: {names}; "
            "write to another output, or give the changed objects other names and put the old ones back"
        )
    if corpus.job.limit is not None and ledger.splits:
        return kept, [], done
    return kept, [each for each in corpus.objects if each.key not in coverage], done


def _splits(corpus: Corpus, objects: list[Object], rates: Rates, job: str, split_seconds: float) -> Iterator[Split]:
    """The splits of ``objects``: pieces of large ones, and several small ones together."""
    packed: list[Piece] = []
    seconds, size = 0.0, 0
    for piece in _pieces(corpus, objects, rates, split_seconds):
        if piece.size > PACKED_BYTES or not _is_whole(piece, corpus):
            yield make_split(job, (piece,))
            continue
        more, length = rates.units(piece, corpus) * rates.seconds, len(msgspec.json.encode(piece))
        if packed and (seconds + more > split_seconds or size + length > SPLIT_BYTES):
            yield make_split(job, tuple(packed))
            packed, seconds, size = [], 0.0, 0
        packed.append(piece)
        seconds, size = seconds + more, size + length
    if packed:
        yield make_split(job, tuple(packed))


def _is_whole(piece: Piece, corpus: Corpus) -> bool:
    if piece.start is None:
        return piece.of is None
    return (piece.start, piece.stop) == (0, corpus.rows.get(piece.key))


def _pieces(corpus: Corpus, objects: Iterable[Object], rates: Rates, split_seconds: float) -> Iterator[Piece]:
    """The pieces of ``objects``, each with at most about ``split_seconds`` of work; of the first ``limit`` rows, if the job has one."""
    left = corpus.job.limit
    for each in objects:
        piece = Piece(each.key, each.size, each.etag)
        if left is not None:
            rows = min(_count(corpus, piece, left), left)
            left -= rows
            if rows == 0:
                continue
            piece = Piece(each.key, each.size, each.etag, limit=rows)
        if corpus.job.format == "parquet":
            stop = corpus.rows[each.key] if piece.limit is None else piece.limit
            piece = Piece(each.key, each.size, each.etag, 0, stop)
        count = max(1, ceil(rates.units(piece, corpus) * rates.seconds / split_seconds))
        yield from _divided(piece, count, corpus)
        if left == 0:
            return


def _divided(piece: Piece, count: int, corpus: Corpus) -> Iterator[Piece]:
    """``piece`` as ``count`` ranges or shares."""
    if corpus.job.format == "parquet":
        end = piece.stop
    elif corpus.job.format == "jsonl" and piece.limit is None and not compression_of(piece.key):
        end = piece.size
    else:
        end = None
    if count == 1:
        yield piece
    elif end is None:
        for share in range(count):
            yield msgspec.structs.replace(piece, share=share, of=count)
    else:
        count = min(count, end)
        for number in range(count):
            yield msgspec.structs.replace(piece, start=end * number // count, stop=end * (number + 1) // count)


def _count(corpus: Corpus, piece: Piece, most: int) -> int:
    """The rows of an object, counted up to ``most``."""
    if corpus.job.format == "parquet":
        return corpus.rows[piece.key]
    with explained(f"{corpus.storage.url}{piece.key}", corpus.job.format):
        _, numbered = items(open_piece(corpus.storage, piece), piece, corpus.job)
        return sum(1 for _, _ in zip(range(most), numbered, strict=False))


def _estimate(corpus: Corpus, rates: Rates, pieces: list[Piece]) -> Estimate:
    units = sum(rates.units(piece, corpus) for piece in pieces)
    sizes = {piece.key: piece.size for piece in pieces}
    return Estimate(
        objects=len(sizes),
        bytes=sum(sizes.values()),
        rows=round(units * rates.rows),
        tokens=round(units * rates.tokens),
        seconds=round(units * rates.seconds, 1),
        sampled_rows=rates.sampled_rows,
    )


def _place(output: Storage, key: str) -> dict[str, str]:
    if isinstance(output, Bucket):
        return {"bucket": output.bucket, "key": output.prefix + key}
    return {"path": output.url + key}
