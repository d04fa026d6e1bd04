"""The local engine: processes as workers, one thread each, on folders."""

import fcntl
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import gettempdir
from threading import current_thread, main_thread
from time import perf_counter

import msgspec

from runtime.engine.engine import Engine, count_cpus
from runtime.service.service import Service

from .commit import Commit, commit
from .errors import BulkError, Incomplete, JobError, OutputError
from .job import S3, Job
from .ledger import JOB_FILE, read_splits, run_key
from .parts import Counts
from .plan import Forecast, Planned, forecast, plan
from .split import Split
from .storage import TEMPORARY, open_storage
from .worker import embed_split

SPLIT_SECONDS = 10
"""Work of a split: short, so that a death costs little and all workers end at about the same time."""
ATTEMPTS = 3
"""Workers that may die of a split before it counts as failed."""
PROGRESS_SECONDS = 0.5
ENDING_SECONDS = 5
"""A worker that closed its connection ends in this time."""
LOCK = "_lock"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is."""

    rows: int
    """Rows that this run has read and embedded."""
    of_rows: int
    """Rows that it will have read at the end, an estimate."""
    splits: int
    of_splits: int
    seconds: float
    """Since the workers started."""


def run_local(
    job: Job,
    model_dir: Path,
    workers: int | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Commit:
    """Run ``job``, on folders, in ``workers`` processes (by default ``job.concurrency``, else one for each CPU).

    ``progress`` is called about twice a second. After a ``KeyboardInterrupt`` or any death, the same job again continues.

    Raises:
        ArtifactError: the model cannot be loaded.
        BulkError: see :mod:`bulk.errors`.
    """
    if job.output.startswith(S3):
        raise JobError("the local engine reads and writes folders; S3 needs the state machine of a deployment")
    with _locked(Path(job.output)):
        planned = plan(job, _load(model_dir), f"process {os.getpid()}", split_seconds=SPLIT_SECONDS)
        with _Workers(planned, model_dir, workers or job.concurrency or count_cpus(), progress) as running:
            failures = running.embed()
        if failures:
            raise Incomplete(f"{len(failures)} of {planned.splits} splits failed; the first: {failures[0]}")
        return commit(planned.job, planned.run)


def forecast_local(job: Job, model_dir: Path) -> Forecast:
    """What :func:`run_local` would have to do. Writes nothing, and raises the same errors."""
    return forecast(job, _load(model_dir), split_seconds=SPLIT_SECONDS)


def _load(model_dir: Path) -> Service:
    return Service(Engine.load(model_dir, threads=1))


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keep other processes from writing ``output``, until this process ends in whatever way; and remove what a dead one left.

    Raises:
        OutputError: another process has locked it, or it cannot be a folder.
    """
    is_new = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: a folder cannot be made there ({error.strerror})") from None
    with (output / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{output}: is written now, by another process") from None
        shutil.rmtree(output / TEMPORARY, ignore_errors=True)
        try:
            yield
        finally:
            if not (output / JOB_FILE).exists():  # the run was refused before it wrote anything
                (output / LOCK).unlink(missing_ok=True)
                if is_new:
                    with suppress(OSError):
                        output.rmdir()


class _Worker:
    """A process that embeds one split after the other."""

    def __init__(self, job: Job, model_dir: Path) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, job, model_dir), daemon=True)
        with _no_ctrl_c():
            self.process.start()
        theirs.close()
        self.split: Split | None = None

    def give(self, split: Split) -> None:
        self.split = split
        self.connection.send(split)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back, also in processes that are started meanwhile: it reaches all of a terminal's, and the parent ends the others."""
    resource_tracker.ensure_running()  # else the first start does it, and lets Ctrl-C through again
    pressed: list[int] = []
    in_main = current_thread() is main_thread()  # Python raises it there, and other threads' masks let it through
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number)) if in_main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_main:
            signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)


class _Workers:
    """The workers of a run; a context manager that ends them."""

    def __init__(self, planned: Planned, model_dir: Path, count: int, progress: Callable[[Progress], None]) -> None:
        self._planned, self._model_dir, self._progress = planned, model_dir, progress
        output = open_storage(planned.job.output)
        self._waiting = deque(read_splits(output, run_key(planned.run, "manifest.jsonl")))
        self._workers: list[_Worker] = []
        self._count = min(count, planned.splits)
        self._deaths: dict[str, int] = {}
        self._rows = self._done = 0
        self._start = perf_counter()

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_) -> None:
        for worker in self._workers:
            worker.stop()

    def embed(self) -> list[BulkError]:
        """Embed all splits. Returns the errors of those that failed.

        Raises:
            Incomplete: a worker cannot write, and no other could.
        """
        failures: list[BulkError] = []
        self._start = said = perf_counter()
        for _ in range(self._count):
            self._add_worker()
        while busy := {worker.connection: worker for worker in self._workers if worker.split}:
            for connection in wait(busy, PROGRESS_SECONDS):
                if failure := self._receive(busy[connection]):
                    failures.append(failure)
            if perf_counter() - said > PROGRESS_SECONDS:
                said = perf_counter()
                self._say(max(self._planned.todo.rows, self._rows))
        self._say(self._rows)
        return failures

    def _add_worker(self) -> None:
        worker = _Worker(self._planned.job, self._model_dir)
        self._workers.append(worker)
        self._give_next(worker)

    def _give_next(self, worker: _Worker) -> None:
        worker.split = None
        if self._waiting:
            worker.give(self._waiting.popleft())

    def _receive(self, worker: _Worker) -> BulkError | None:
        """Take what a worker has sent. Returns the error of a split that failed."""
        try:
            message = worker.connection.recv()
        except EOFError:
            return self._replace(worker)
        if isinstance(message, int):
            self._rows += message
            return None
        if isinstance(message, Incomplete):
            raise message
        self._done += 1
        self._give_next(worker)
        return None if isinstance(message, Counts) else message

    def _replace(self, worker: _Worker) -> BulkError | None:
        """Put another worker in the place of a dead one, and its split back, unless it has killed too many."""
        split = worker.split
        worker.process.join(ENDING_SECONDS)  # else its status may be that of being stopped here
        worker.stop()
        self._workers.remove(worker)
        deaths = self._deaths[split.part] = self._deaths.get(split.part, 0) + 1
        if failed := deaths == ATTEMPTS:
            self._done += 1
        else:
            self._waiting.appendleft(split)
        if self._waiting:
            self._add_worker()
        if not failed:
            return None
        return BulkError(
            f"{split.pieces[0].key}: {deaths} workers died, the last with status {worker.process.exitcode}; "
            "is there enough memory?"
        )

    def _say(self, of_rows: int) -> None:
        self._progress(
            Progress(
                rows=self._rows,
                of_rows=of_rows,
                splits=self._done,
                of_splits=self._planned.splits,
                seconds=perf_counter() - self._start,
            )
        )


def _work(connection: Connection, job: Job, model_dir: Path) -> None:
    """Embed the splits that come through ``connection``, and send how many rows are done, then the counts or the error."""
    service = _load(model_dir)
    # 280 MB that the first rare text would need: a machine without them is to fail now, not after hours.
    _ = service.engine.reference_tokenizer
    # When the parent is dead, reading or writing raises, and the process ends.
    while True:
        try:
            split = connection.recv()
        except EOFError:
            return
        try:
            connection.send(embed_split(split, job, service, connection.send))
        except BulkError as error:
            connection.send(error)
        except OSError as error:  # errors of reading are BulkErrors
            places = f"{job.output} or, for files on their way there, {gettempdir()}"
            connection.send(Incomplete(f"{places}: cannot be written ({error.strerror or error})"))
