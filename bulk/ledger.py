"""What an output holds besides its parts: whose it is, which splits were planned and when, what was committed.

    data/part-<hash>.parquet      a part for each split, never replaced
    errors/part-<hash>.jsonl      the rows of a split that could not be embedded
    _job.json                     the job and the model that made the output
    _runs/<n>/run.json            who started run n
    _runs/<n>/splits.jsonl        the splits that run n added
    _runs/<n>/manifest.jsonl      the splits that run n has to embed
    _commits/<n>.json, _SUCCESS   the totals after run n; the last step

A split that was planned stays as it is until its part exists, in whichever run, so that a worker of an earlier run that is still
at it writes the same part. Only a split whose objects changed before it was embedded is given up.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from .errors import OutputError
from .job import Job
from .split import Piece, Split
from .storage import Storage

DATA, ERRORS, RUNS, COMMITS = "data/", "errors/", "_runs/", "_commits/"
JOB_FILE = "_job.json"
SUCCESS = "_SUCCESS"


def part_key(part: str) -> str:
    """The key of a part in the output."""
    return f"{DATA}part-{part}.parquet"


def errors_key(part: str) -> str:
    """The key of the errors of a split in the output."""
    return f"{ERRORS}part-{part}.jsonl"


def run_key(run: int, name: str) -> str:
    """The key of a file of a run in the output."""
    return f"{RUNS}{run:06}/{name}"


def commit_key(run: int) -> str:
    """The key of a commit in the output."""
    return f"{COMMITS}{run:06}.json"


class Maker(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``_job.json``: what made an output."""

    id: str
    """See :func:`bulk.split.job_id`."""
    job: Job
    model: str
    revision: str | None
    artifact: str
    dimensions: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``run.json``."""

    owner: str
    started: str


def read_maker(output: Storage) -> Maker | None:
    """What made ``output``, if anything did."""
    return msgspec.json.decode(output.read(JOB_FILE), type=Maker) if output.find(JOB_FILE) else None


def check_maker(found: Maker, wanted: Maker, output: Storage) -> None:
    """Check that ``output`` belongs to the job ``wanted``.

    Raises:
        OutputError: another model or other options made it; the message names the differences.
    """
    if found.id == wanted.id:
        return
    old, new = (_options(maker) for maker in (found, wanted))
    names = [name for name in new if old[name] != new[name] and name != "concurrency"]
    differences = (
        ", ".join(f"{name} {old[name]!r} (now {new[name]!r})" for name in names) or "the deployment's defaults"
    )
    raise OutputError(
        f"{output.url}: was made with other options: {differences}; write to another output, or delete it"
    )


def _options(maker: Maker) -> dict:
    return msgspec.json.decode(msgspec.json.encode(maker.job)) | {"model": maker.model, "artifact": maker.artifact}


def runs_of(output: Storage) -> dict[int, set[str]]:
    """The files of each run of an output."""
    runs: dict[int, set[str]] = {}
    for each in output.list(RUNS):
        number, _, name = each.key.removeprefix(RUNS).partition("/")
        runs.setdefault(int(number), set()).add(name)
    return runs


def last_commit(output: Storage, before: float = float("inf")) -> int:
    """The last run that was committed, of those ``before`` a number; 0 if none was."""
    numbers = (int(each.key.removeprefix(COMMITS).partition(".")[0]) for each in output.list(COMMITS))
    return max((number for number in numbers if number < before), default=0)


def read_splits(output: Storage, key: str) -> Iterator[Split]:
    """The splits in a file of a run."""
    decoder = msgspec.json.Decoder(Split)
    return map(decoder.decode, output.read(key).splitlines())


def write_splits(output: Storage, key: str, splits: Iterable[Split]) -> None:
    """Write a file of a run.

    Raises:
        OutputError: it exists.
    """
    body = b"".join(msgspec.json.encode(split) + b"\n" for split in splits)
    if not output.put_if_absent(key, body):
        raise OutputError(f"{output.url}{key}: another run has written it")


class Ledger:
    """The splits of all runs of an output, and the parts that exist."""

    def __init__(self, output: Storage) -> None:
        self.runs = runs_of(output)
        self.last_run = max(self.runs, default=0)
        self.splits: dict[str, Split] = {}
        """By part, in the order of the plans."""
        self.added: dict[str, int] = {}
        """The run that added a split, by part."""
        for run in sorted(self.runs):
            if "splits.jsonl" in self.runs[run]:
                for split in read_splits(output, run_key(run, "splits.jsonl")):
                    self.splits.setdefault(split.part, split)
                    self.added.setdefault(split.part, run)
        self.parts = {each.key: each.size for each in output.list(DATA)}
        """The size of each part, by key."""
        unknown = self.parts.keys() - {part_key(part) for part in self.splits}
        if unknown:
            raise OutputError(f"{output.url}{min(unknown)}: was not made by this job; write to another output")

    def is_done(self, split: Split) -> bool:
        """Whether the split's part exists."""
        return part_key(split.part) in self.parts


class Coverage:
    """Rows that splits take, to find rows that two splits would take."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[tuple, list[tuple[float, float]]]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._taken

    def add(self, split: Split) -> bool:
        """Take the rows of ``split``. Returns False, and takes none, if another split has taken some of them."""
        if not all(self._is_free(piece) for piece in split.pieces):
            return False
        for piece in split.pieces:
            _, ranges = self._taken.setdefault(piece.key, (_kind(piece), []))
            ranges.insert(bisect_left(ranges, _range(piece)), _range(piece))
        return True

    def _is_free(self, piece: Piece) -> bool:
        if piece.key not in self._taken:
            return True
        kind, ranges = self._taken[piece.key]
        start, stop = _range(piece)
        after = bisect_left(ranges, (start, stop))
        return (
            kind == _kind(piece)
            and (after == 0 or ranges[after - 1][1] <= start)
            and (after == len(ranges) or stop <= ranges[after][0])
        )


def _kind(piece: Piece) -> tuple:
    """Pieces of one object can be compared if this is equal."""
    return piece.etag, piece.of, piece.limit


def _range(piece: Piece) -> tuple[float, float]:
    if piece.share is not None:
        return piece.share, piece.share + 1
    return (0, float("inf")) if piece.stop is None else (piece.start or 0, piece.stop)
