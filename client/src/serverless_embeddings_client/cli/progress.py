"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_SECONDS = 10


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


class RowProgress:
    """Shows how many rows are done, the rate and the time left. A context manager; threads may call :meth:`advance`.

    Args:
        total: Rows there are, if that is known.
        done: Rows that an earlier run has done.
    """

    def __init__(self, total: int | None, done: int = 0) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("embedding"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console
        self._task = self._bar.add_task("embedding", total=total, completed=done)
        self._start = self._said = time.monotonic()
        self._rows = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "RowProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, rows: int) -> None:
        """Count rows that are done."""
        self._bar.advance(self._task, rows)
        with self._lock:
            self._rows += rows
            now = time.monotonic()
            if self._console.is_terminal or now - self._said < LINE_SECONDS:
                return
            self._said = now
        self._console.print(self._line(now - self._start), soft_wrap=True, highlight=False)

    def skip(self, rows: int) -> None:
        """Count rows that an earlier run has done."""
        self._bar.advance(self._task, rows)

    def _line(self, seconds: float) -> str:
        task, rate = self._bar.tasks[0], self._rows / seconds
        if task.total is None or not self._rows:
            return f"{task.completed:,.0f} rows, {rate:,.0f} rows/s"
        left = (task.total - task.completed) / rate / 60
        return f"{task.completed:,.0f} of {task.total:,.0f} rows, {rate:,.0f} rows/s, {left:,.1f} minutes left"
