"""Jobs on folders, by the project's own engine: processes of this machine instead of functions."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import CommandError, ExitCode
from .reports import Progress
from .watching import Display


def _modules(*names: str) -> list[ModuleType]:
    """Modules of the project. They are not in the client's distribution: the command runs in the project's folder.

    Raises:
        CommandError: it does not.
    """
    # A command's path begins with its own folder, unlike that of `python -m`.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return [import_module(name) for name in names]
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] in ("bulk", "runtime"):
            raise CommandError(
                "a job on folders needs the project: run the command in its checkout, or give s3://… places"
            ) from None
        raise CommandError(
            f"a job on folders needs the package {error.name}: pip install -r requirements.txt, in the checkout"
        ) from None


def _call(function: Callable[[], Any]) -> Any:
    """Call what asks the project for something, and turn its errors into those of a command."""
    errors, manifest = _modules("bulk.errors", "runtime.engine.manifest")
    try:
        return function()
    except errors.Incomplete as error:
        raise CommandError(f"{error}; the same command again embeds what is missing", ExitCode.FAILED) from None
    except (errors.BulkError, manifest.ArtifactError) as error:
        raise CommandError(str(error)) from None


def _check(model_dir: Path | None) -> Path:
    if model_dir is None:
        raise CommandError("a job on folders needs --model-dir: `make model` makes build/model/latest")
    return model_dir


def estimate(job: dict, model_dir: Path | None) -> tuple[dict, int]:
    """What a run would have to do, and how many processes would do it."""
    local, jobs, msgspec = _modules("bulk.local", "bulk.job", "msgspec")
    found = _call(lambda: local.forecast_local(jobs.read_job(job), _check(model_dir)))
    return msgspec.to_builtins(found), job.get("concurrency") or local.count_cpus()


def run(job: dict, model_dir: Path | None) -> dict:
    """Run a job. Returns ``bulk.commit.Commit`` as JSON.

    Raises:
        CommandError: the job is refused, parts of it failed, or Ctrl-C stopped it.
    """
    local, jobs, msgspec = _modules("bulk.local", "bulk.job", "msgspec")
    with Display() as display:

        def show(far) -> None:
            progress = Progress(far.rows, far.of_rows, far.splits, far.of_splits, seconds=far.seconds)
            display.show("embedding", progress)

        display.show("planning")
        try:
            commit = _call(lambda: local.run_local(jobs.read_job(job), _check(model_dir), progress=show))
        except KeyboardInterrupt:
            raise CommandError("stopped; the same command again continues", ExitCode.STOPPED) from None
    return msgspec.to_builtins(commit)
