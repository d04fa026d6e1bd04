"""A measurement: what it is going to do and to cost, and the figures of each memory size."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import CommandError
from ..reports import dollars
from .loads import BATCH, make_loads
from .results import cold_result, peaks, request_usd, throughput_result, warm_result
from .runs import Answer, Caller
from .versions import LARGEST_MB, Function

LEVEL_SECONDS = 5
"""How long requests are sent at each level of concurrency."""
INIT_MS = 10_000
"""Longest init phase that Lambda lets pass."""
SLOWEST = 1.7
"""Lambda's CPUs differ by as much (docs/bulk.md); the probe may have met the fastest."""
SMALLEST_MB = 128
AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class Measurement:
    """A measurement of ``function``, whose alias serves the configuration ``served``.

    Making it sends some requests to the alias, which tell the limits and what a request takes.

    Args:
        cold: Cold starts of each size.
        requests: Warm requests of each load.
        levels: Requests at a time, for the throughput.

    Raises:
        CommandError: the function may run too little at a time, does not answer, or serves no embedding model.
    """

    def __init__(
        self, function: Function, served: dict[str, Any], cold: int, requests: int, levels: Sequence[int]
    ) -> None:
        self._function, self._served, self._requests = function, served, requests
        self._architecture: str = served["Architectures"][0]
        self._may_run, self._account = function.executions()
        # Half of what the function may run is left to its callers.
        most = self._may_run // 2
        if most < 1:
            raise CommandError(
                f"{function.name} may have {self._may_run} executions at a time beside those that are provisioned; a measurement takes "
                "half of them, and so needs 2 or more: raise reserved_concurrency, or the account's quota"
            )
        self._cold = min(cold, most)
        self._levels = [level for level in levels if level <= most]
        if not self._levels:
            raise CommandError(
                f"--concurrency: give a number from 1 to {most}, half of what {function.name} may have at a time"
            )
        self._environments = max([self._cold, *self._levels])
        self._notes = list(self._limits(cold, levels))
        caller = self._caller(function.alias)
        self._info = caller.info()
        self._loads = make_loads(self._info, lambda text: caller.embed([text]).tokens)
        self._probes = {load: caller.embed(texts) for load, texts in self._loads.items()}

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Refuse sizes that Lambda does not have, or in which the model does not fit.

        Raises:
            CommandError: there is such a size.
        """
        took = peaks(self._probes.values())["runtime_peak_memory_mb"] or 0
        least = max(SMALLEST_MB, int(took) + 1)
        for size in sizes:
            if not least <= size <= LARGEST_MB:
                raise CommandError(
                    f"--memory: {size} MB. Allowed: {least} to {LARGEST_MB}; the largest of the requests took {took:.0f} MB"
                )

    def plan(self, sizes: Sequence[int]) -> str:
        """What the run does, and what it costs at most."""
        loads, levels = ", ".join(self._loads), ", ".join(map(str, self._levels))
        lines = [
            f"function  {self._function.name}: `{self._function.alias}` stays as it is; a version of it is made for each size, and deleted",
            f"sizes     {', '.join(f'{size:,} MB' for size in sizes)}",
            f"each      {self._cold} cold starts; {self._requests} requests of each load: {loads}; "
            f"batches for {LEVEL_SECONDS} s with {levels} at a time",
            f"takes     up to {self._environments} of the {self._may_run:,} executions that the function may have at a time",
            *self._notes,
            f"cost      at most {dollars(sum(map(self._usd, sizes)))} for Lambda, by list price",
        ]
        return "\n".join(lines)

    def measured(self) -> dict[str, Any]:
        """All that is known before a size is measured."""
        meta = self._function.lambda_.meta
        return {
            "format": 1,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "function": self._served["FunctionArn"],
            "region": meta.region_name,
            "architecture": self._architecture,
            "model": self._info["model_id"],
            "emulated": not meta.endpoint_url.endswith(AWS_HOSTS),
            "notes": self._notes,
            "sizes": [],
        }

    def size(self, memory_mb: int, say: Callable[[str], None]) -> dict[str, Any]:
        """The figures of one memory size. ``say`` is called with each step.

        Raises:
            CommandError: AWS or the function failed.
        """
        say(f"· {memory_mb:,} MB: a version is made")
        with self._function.temporary_version(memory_mb, self._served) as version:
            caller = self._caller(version)
            say(f"· {memory_mb:,} MB: cold starts")
            first = caller.at_once(next(iter(self._loads.values())), self._cold)
            answers, warm = list(first), []
            for load, texts in self._loads.items():
                say(f"· {memory_mb:,} MB: load {load}")
                caller.embed(texts)
                found = [caller.embed(texts) for _ in range(self._requests)]
                answers += found
                warm.append(warm_result(load, len(texts), found, memory_mb, self._architecture))
            levels = []
            for level in self._levels:
                say(f"· {memory_mb:,} MB: {level} at a time")
                levels.append(throughput_result(caller.throughput(self._loads[BATCH], level, LEVEL_SECONDS)))
        if unreported := sum(each.report is None for each in answers):
            self._notes.append(
                f"Of {len(answers):,} answers at {memory_mb:,} MB {unreported:,} came without Lambda's report."
            )
            say(self._notes[-1])
        if refused := sum(each.refused for each in answers):
            self._notes.append(f"At {memory_mb:,} MB requests were refused {refused:,} times, and sent again.")
            say(self._notes[-1])
        figures = {"cold": cold_result(first), "warm": warm, "throughput": levels}
        return {"memory_mb": memory_mb, **figures, **peaks(answers)}

    def _caller(self, version: str) -> Caller:
        key = os.environ.get("EMBEDDINGS_API_KEY")
        function, timeout = self._function, self._served["Timeout"]
        return Caller(function.name, version, function.region, self._environments, timeout, key)

    def _limits(self, cold: int, levels: Sequence[int]) -> Iterator[str]:
        """What is left out, since the function may have too few executions at a time."""
        half = f"half of the {self._may_run:,} executions that the function may have at a time (the account: {self._account:,})"
        if left_out := [str(level) for level in levels if level not in self._levels]:
            yield f"Left out: {', '.join(left_out)} requests at a time, more than {half}."
        if self._cold < cold:
            yield f"{self._cold} cold starts in place of {cold}, since more are over {half}."

    def _usd(self, memory_mb: int) -> float:
        """Most dollars that a size costs. A request takes at most as many GB-seconds as in the probe, or, in a larger size, as long."""
        larger = max(memory_mb, self._served["MemorySize"])

        def usd(ms: float, requests: float) -> float:
            return requests * request_usd(ms, larger, self._architecture)

        probed = {load: _billed(answer) for load, answer in self._probes.items()}
        most = {load: SLOWEST * ms for load, ms in probed.items()}
        starts = usd(INIT_MS + most[BATCH], self._cold + self._environments)
        warm = sum(usd(ms, self._requests + 1) for ms in most.values())
        batches = sum(self._levels) * (LEVEL_SECONDS * 1000 / probed[BATCH] + 2)
        return starts + warm + usd(most[BATCH], batches)


def _billed(answer: Answer) -> float:
    """Milliseconds that a request is billed, or at most is, if Lambda's report is missing."""
    return answer.report.billed_ms if answer.report else answer.end_to_end_ms
