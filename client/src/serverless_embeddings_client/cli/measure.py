"""`embeddings measure`: times, throughput, memory and dollars of a deployed function, measured in its account."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import ask
from .aws import executions
from .errors import CommandError, ExitCode
from .reports import dollars

if TYPE_CHECKING:
    from .measuring.runs import Answer, Caller
    from .measuring.versions import Function

LEVEL_SECONDS = 5
"""How long requests are sent at each level of concurrency."""
INIT_SECONDS = 10
"""Longest init phase that Lambda lets pass."""
SLOWEST = 1.7
"""Lambda's CPUs differ by as much (docs/bulk.md); the probe may have met the fastest."""
SMALLEST_MB, LARGEST_MB = 128, 10_240
LEVELS = "1,2,4,8"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def measure(
    function: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The Lambda function's name or ARN, of which the alias `live` is measured unless it names another.",
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
    from .measuring.versions import Function

    found = Function(function)
    levels, sizes = _numbers("--concurrency", concurrency), _numbers("--memory", memory or "")
    _check_output(output)
    served = found.served()
    sizes = sizes or [served["MemorySize"]]
    run = _Run(found, served, cold, requests, levels)
    run.check_sizes(sizes)
    leftovers = found.leftovers()
    if not leftovers:
        found.check_same(served)
    _say(run.plan(sizes))
    if leftovers:
        _say("another run was stopped, or is under way: what it has changed is put back, and its versions are deleted")
    if not yes:
        ask()
    for each in SIGNALS:
        signal.signal(each, _stop)
    try:
        found.clean_up()
        found.check_same(served)
        measured = run.measured()
        for size in sizes:
            measured["sizes"].append(run.size(size))
            _save(measured, output)
    except KeyboardInterrupt:
        found.clean_up()
        raise CommandError("stopped; the function is as it was", ExitCode.STOPPED) from None
    print(output.with_suffix(".md").read_text(), end="")
    _plot(measured, output.with_suffix(".svg"))
    _say(f"the figures are in {output}, the report in {output.with_suffix('.md')}")


def _stop(*_: object) -> None:
    """Stop the run, once: what it has changed is put back, however impatient somebody is."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _say("stopping; the function is put back")
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
        _say(f"no plots: {error.name} is missing; pip install 'serverless-embeddings-client[plots]'")


class _Run:
    """A measurement of ``function``, whose alias serves the configuration ``served``. Making it sends some requests to the alias, which
    tell the limits and what a request takes."""

    def __init__(
        self, function: "Function", served: dict[str, Any], cold: int, requests: int, levels: Sequence[int]
    ) -> None:
        from .measuring.loads import make_loads

        self._function, self._served, self._requests = function, served, requests
        self._architecture: str = served["Architectures"][0]
        self._may_run, self._account = executions(function.name, function.region)
        # Half of what the function may run is left to its callers.
        most = max(self._may_run // 2, 1)
        self._cold = min(cold, most)
        self._levels = [level for level in levels if level <= most]
        self._notes = list(self._limits(cold, levels))
        caller = self._caller(function.alias)
        self._info = caller.info()
        self._loads = make_loads(self._info, lambda text: caller.embed([text]).tokens)
        self._probes = {load: caller.embed(texts) for load, texts in self._loads.items()}

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Refuse sizes that Lambda does not have, or in which the model does not fit."""
        from .measuring.results import peaks

        least = max(SMALLEST_MB, int(peaks(self._probes.values())["runtime_peak_memory_mb"] or 0) + 1)
        for size in sizes:
            if not least <= size <= LARGEST_MB and size != self._served["MemorySize"]:
                raise CommandError(
                    f"--memory: {size} MB. Allowed: {least} to {LARGEST_MB}; the model takes {least} MB, or Lambda has no other"
                )

    def plan(self, sizes: Sequence[int]) -> str:
        """What the run does, and what it costs at most."""
        loads, levels = ", ".join(self._loads), ", ".join(map(str, self._levels))
        lines = [
            f"function  {self._function.name}: `{self._function.alias}` stays as it is; a version of it is made for each size, and deleted",
            f"sizes     {', '.join(f'{size:,} MB' for size in sizes)}",
            f"each      {self._cold} cold starts; {self._requests} requests of each load: {loads}; "
            f"batches for {LEVEL_SECONDS} s with {levels} at a time",
            f"takes     up to {max([self._cold, *self._levels])} of the {self._may_run:,} executions that the function may have at a time",
            *self._notes,
            f"cost      at most {dollars(sum(map(self._usd, sizes)))} for Lambda, by list price",
        ]
        return "\n".join(lines)

    def measured(self) -> dict[str, Any]:
        """All that is known before a size is measured."""
        host = self._function.lambda_.meta.endpoint_url
        return {
            "format": 1,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "function": self._served["FunctionArn"],
            "region": self._function.lambda_.meta.region_name,
            "architecture": self._architecture,
            "model": self._info["model_id"],
            "emulated": ".amazonaws.com" not in host,
            "notes": self._notes,
            "sizes": [],
        }

    def size(self, memory_mb: int) -> dict[str, Any]:
        """The figures of one memory size."""
        from .measuring.loads import BATCH
        from .measuring.results import cold_result, peaks, throughput_result, warm_result

        def say(step: str) -> None:
            _say(f"· {memory_mb:,} MB: {step}")

        say("a version is made")
        with self._function.temporary_version(memory_mb) as version:
            caller = self._caller(version)
            say("cold starts")
            first = caller.at_once(next(iter(self._loads.values())), self._cold)
            answers, warm = list(first), []
            for load, texts in self._loads.items():
                say(f"load {load}")
                caller.embed(texts)
                found = [caller.embed(texts) for _ in range(self._requests)]
                answers += found
                warm.append(warm_result(load, len(texts), found, memory_mb, self._architecture))
            levels = []
            for level in self._levels:
                say(f"{level} at a time")
                levels.append(throughput_result(caller.throughput(self._loads[BATCH], level, LEVEL_SECONDS)))
        if unreported := sum(each.report is None for each in answers):
            note = f"Of {len(answers):,} answers at {memory_mb:,} MB {unreported:,} came without Lambda's report."
            self._notes.append(note)
            _say(note)
        figures = {"cold": cold_result(first), "warm": warm, "throughput": levels}
        return {"memory_mb": memory_mb, **figures, **peaks(answers)}

    def _caller(self, version: str) -> "Caller":
        from .measuring.runs import Caller

        connections = max([self._cold, *self._levels])
        key = os.environ.get("EMBEDDINGS_API_KEY")
        return Caller(self._function.name, version, self._function.region, connections, key)

    def _limits(self, cold: int, levels: Sequence[int]) -> Iterator[str]:
        """What is left out, since the function may have too few executions at a time."""
        half = f"half of the {self._may_run:,} executions that the function may have at a time (the account: {self._account:,})"
        if left_out := [str(level) for level in levels if level not in self._levels]:
            yield f"Left out: {', '.join(left_out)} requests at a time, more than {half}."
        if self._cold < cold:
            yield f"{self._cold} cold starts in place of {cold}, since more are over {half}."

    def _usd(self, memory_mb: int) -> float:
        """Most dollars that a size costs. A request takes at most as many GB-seconds as in the probe, or, in a larger size, as long."""
        from .measuring.loads import BATCH
        from .measuring.results import request_usd

        larger = max(memory_mb, self._served["MemorySize"])

        def usd(ms: float, requests: float = 1) -> float:
            return requests * request_usd(SLOWEST * ms, larger, self._architecture)

        times = {load: _billed(answer) for load, answer in self._probes.items()}
        environments = max([self._cold, *self._levels])
        starts = usd(INIT_SECONDS * 1000 / SLOWEST + times[BATCH], self._cold + environments)
        warm = sum(usd(ms, self._requests + 1) for ms in times.values())
        levels = sum(level * (usd(LEVEL_SECONDS * 1000) + usd(times[BATCH], 2)) for level in self._levels)
        return starts + warm + levels


def _billed(answer: "Answer") -> float:
    """Milliseconds that a request is billed, or at most is, if Lambda's report is missing."""
    return answer.report.billed_ms if answer.report else answer.end_to_end_ms
