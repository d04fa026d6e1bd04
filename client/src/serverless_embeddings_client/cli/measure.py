"""`embeddings measure`: times, throughput, memory and dollars of a deployed function, measured in its account."""

import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from .dialogue import ask, say
from .errors import CommandError, ExitCode

LEVELS = "1,2,4,8"
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Ctrl-C, `kill`, and a terminal that is closed, as CloudShell's is after some minutes; Windows has no SIGHUP."""


def measure(
    function: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The Lambda function's name (the stack's output FunctionName) or ARN, of which the alias `live` is measured unless it names another.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.json",
            help="Where the figures go; the report and the plots go beside it, with `.md` and `.svg`.",
        ),
    ] = Path("measured.json"),
    memory: Annotated[
        str | None,
        typer.Option(metavar="MB,…", help="Memory sizes to measure. By default the one that is deployed."),
    ] = None,
    cold: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Cold starts of each size.")] = 5,
    requests: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Warm requests of each load.")] = 50,
    concurrency: Annotated[str, typer.Option(metavar="N,…", help="Requests at a time, for the throughput.")] = LEVELS,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
) -> None:
    r"""Measure a deployed function: cold starts, latency, throughput, memory and dollars a million tokens.

    The requests go to a version of the function that is made for them and deleted afterwards: the alias, its environments and its
    memory stay as they are. A key is read from the variable EMBEDDINGS_API_KEY. The time end to end includes the way from this machine
    to the region; AWS CloudShell is in it.

    ```
    embeddings measure --function NAME
    embeddings measure --function NAME --memory 1024,1769,3008 -o sizes.json
    ```
    """
    from .measuring.measurement import Measurement
    from .measuring.versions import Function

    levels, sizes = _numbers("--concurrency", concurrency), _numbers("--memory", memory or "")
    _check_output(output)
    found = Function(function)
    served = found.served()
    sizes = sizes or [served["MemorySize"]]
    run = Measurement(found, served, cold, requests, levels)
    run.check_sizes(sizes)
    leftovers = found.leftovers()
    if not leftovers:
        found.check_same(served)
    say(run.plan(sizes))
    if leftovers:
        say("another run was stopped, or is under way: what it has changed is put back, and its versions are deleted")
    if not yes:
        ask()
    for each in SIGNALS:
        if each == signal.SIGINT or signal.getsignal(each) != signal.SIG_IGN:  # which `nohup` sets
            signal.signal(each, _stop)
    try:
        found.clean_up()
        measured = run.measured()
        for size in sizes:
            measured["sizes"].append(run.size(size, say))
    except KeyboardInterrupt:
        raise CommandError("stopped; the function is as it was, and no figures are kept", ExitCode.STOPPED) from None
    finally:
        _ignore_signals()
        found.clean_up()
    _save(measured, output)
    print(output.with_suffix(".md").read_text(), end="")
    _plot(measured, output.with_suffix(".svg"))
    say(f"the figures are in {output}, the report in {output.with_suffix('.md')}")


def _stop(*_: object) -> None:
    """Stop the run, once: what it has changed is put back, however impatient somebody is."""
    _ignore_signals()
    with suppress(OSError):  # the terminal may be gone
        say("stopping; the function is put back")
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def _numbers(option: str, text: str) -> list[int]:
    """The numbers of an option, ascending."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() and int(word) for word in words):
        raise CommandError(
            f"{option} takes whole numbers from 1 with commas between them, such as 1,2,4; given: {text}"
        )
    return sorted(set(map(int, words)))


def _check_output(output: Path) -> None:
    if output.suffix != ".json":
        raise CommandError(f"{output}: the name has to end with .json")
    if not output.absolute().parent.is_dir():
        raise CommandError(f"there is no folder {output.parent}")
    for path in (output, output.with_suffix(".md"), output.with_suffix(".svg")):
        if path.exists():
            raise CommandError(f"{path} exists; remove it, or name another output")


def _save(measured: dict[str, Any], output: Path) -> None:
    from .measuring.results import report

    output.write_text(json.dumps(measured, indent=1) + "\n")
    output.with_suffix(".md").write_text("\n".join(report(measured)) + "\n")


def _plot(measured: dict[str, Any], path: Path) -> None:
    from .measuring.plots import plot

    try:
        plot(measured, path)
    except ModuleNotFoundError as error:
        say(f"no plots: {error.name} is missing; pip install 'serverless-embeddings-client[plots]'")
