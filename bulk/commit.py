"""The last step of a run: compares the parts with the splits, adds them up and marks the output as complete."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa

from .errors import Incomplete, OutputError
from .job import Job
from .ledger import (
    SUCCESS,
    Coverage,
    Ledger,
    commit_key,
    last_commit,
    part_key,
    read_maker,
    read_splits,
    run_key,
)
from .parts import Counts, read_counts, read_ids
from .split import Split
from .storage import Storage, open_storage

COMPARED_IDS = 20_000_000
"""Most rows whose ids are compared; their hashes take 160 MB."""
READERS = 32
"""Parts that are read at a time."""
NAMED = 5
"""Most parts that an error names."""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``_commits/<run>.json`` and ``_SUCCESS``."""

    run: int
    ended: str
    job: Job
    model: str
    revision: str | None
    artifact: str
    dimensions: int
    parts: int
    new: Counts
    """What the runs since the last commit added."""
    total: Counts
    usd: float | None
    """Dollars for ``total.seconds``, if the price is known."""
    repeated_ids: int | None
    """Rows whose id an earlier row has; None without ids, or if there are too many rows to compare."""


def commit(job: Job, run: int, usd_per_second: float | None = None) -> Commit:
    """Write ``_commits/<run>.json``, then ``_SUCCESS``.

    Args:
        job: The job as the plan returned it.
        usd_per_second: The price of a second of a worker.

    Raises:
        Incomplete: parts are missing; the message names some of them.
        OutputError: two parts have the same rows.
    """
    output = open_storage(job.output)
    ledger = Ledger(output)
    manifest = read_splits(output, run_key(run, "manifest.jsonl"))
    missing = [split for split in manifest if not ledger.is_done(split)]
    if missing:
        names = "; ".join(f"{split.part} ({split.pieces[0].key})" for split in missing[:NAMED])
        raise Incomplete(
            f"{output.url}: {len(missing)} parts are missing: {names}{'; …' * (len(missing) > NAMED)}. "
            "The same job again embeds them; its log says why they failed"
        )
    done = [split for split in ledger.splits.values() if ledger.is_done(split)]
    coverage = Coverage()
    for split in done:
        if not coverage.add(split):
            raise OutputError(
                f"{output.url}: part {split.part} has rows that another part has; write to another output"
            )
    before = _commit_before(output, run)
    new = [split for split in done if before is None or ledger.added[split.part] > before.run]
    if before is not None and before.parts + len(new) != len(done):
        # A split of before the last commit was given up then, as its object was away, and is done now.
        before, new = None, done
    added = _sum(output, ledger, new)
    total = added + before.total if before else added
    maker = read_maker(output)
    result = Commit(
        run=run,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        job=job,
        model=maker.model,
        revision=maker.revision,
        artifact=maker.artifact,
        dimensions=maker.dimensions,
        parts=len(done),
        new=added,
        total=total,
        usd=None if usd_per_second is None else round(total.seconds * usd_per_second, 4),
        repeated_ids=_repeated(output, ledger) if job.id is not None and total.rows <= COMPARED_IDS else None,
    )
    body = msgspec.json.encode(result)
    output.put_if_absent(commit_key(run), body)
    output.put(SUCCESS, body)
    return result


def _commit_before(output: Storage, run: int) -> Commit | None:
    """The last commit before ``run``."""
    number = last_commit(output, run)
    return msgspec.json.decode(output.read(commit_key(number)), type=Commit) if number else None


def _sum(output: Storage, ledger: Ledger, splits: Iterable[Split]) -> Counts:
    keys = [part_key(split.part) for split in splits]
    with ThreadPoolExecutor(READERS) as pool:
        return sum(pool.map(lambda key: read_counts(output, key, ledger.parts[key]), keys), Counts())


def _repeated(output: Storage, ledger: Ledger) -> int:
    """How many rows of all parts have an id that another row before them has, by 64-bit hashes of the ids."""
    with ThreadPoolExecutor(READERS) as pool:
        hashes = pool.map(lambda part: _hashes(read_ids(output, *part)), ledger.parts.items())
        every = np.concatenate([np.empty(0, np.int64), *hashes])
    return len(every) - len(np.unique(every))


def _hashes(ids: pa.Array) -> np.ndarray:
    # As strings, since Python's hashes of -1 and -2 are equal.
    return np.fromiter((hash(str(value)) for value in ids.to_pylist()), np.int64, len(ids))
