"""Shows progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import time

from .reports import Progress

LINE_SECONDS = 15


class Display:
    """Shows what a job is doing and how far it is. A context manager."""

    def __init__(self) -> None:
        import rich.progress
        from rich.console import Console

        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        columns = rich.progress.TextColumn("{task.description}"), rich.progress.BarColumn(20)
        self._bar = rich.progress.Progress(
            *columns,
            rich.progress.TextColumn("{task.fields[text]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, text="")
        self._step, self._said = "", 0.0
        self._waiting = ""

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._print()

    def show(self, step: str, progress: Progress | None = None) -> None:
        """Show the step that the job is in, and how far it is in it."""
        text = progress.text if progress else ""
        total, done = (progress.of_rows, progress.rows) if progress else (None, 0)
        self._bar.update(self._task, description=step, total=total, completed=done, text=text)
        if self._console.is_terminal:
            return
        self._waiting = f"· {step}{': ' if text else ''}{text}"
        now = time.monotonic()
        if step != self._step or now - self._said >= LINE_SECONDS:
            self._step, self._said = step, now
            self._print()

    def _print(self) -> None:
        """Print the line that waits, if one does."""
        if self._waiting:
            self._console.print(self._waiting, markup=False)
        self._waiting = ""
