"""Counters and histograms of one process, which ``/metrics`` shows in Prometheus' text format.

Names, labels, buckets, and when something is counted are TEI's (``router/src/prometheus.rs``, ``router/src/http/server.rs`` and
``core/src/infer.rs``), except that the first input that fails ends a request, so that a request fails once. On Lambda every
execution environment has its own; CloudWatch has the sums over all of them (``runtime.aws.telemetry``).
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from ..service.errors import InvalidInput, NoInputs, OutOfTime, RequestError, TooManyInputs, Unsupported
from ..service.options import Encoded, Usage
from .errors import HttpError

DURATION_BUCKETS = tuple(0.00001 * 1.5**power for power in range(1, 36))
"""Seconds."""
LENGTH_BUCKETS = tuple(2**power for power in range(20))
"""Tokens, up to the length that the model reads."""
STEPS = ("", "tokenization_", "queue_", "inference_")
"""What a histogram of durations is of: all of a request or an input, or a step of it."""
FAILURES = {NoInputs: "validation", TooManyInputs: "batch_size", Unsupported: "model_type", OutOfTime: "inference"}
"""TEI's label for an error by its class; for other errors of inputs it is ``tokenization``."""


class Histogram:
    """How many values fell into each bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, ``times`` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def render(self, name: str) -> list[str]:
        """The lines of this histogram."""
        lines, total = [f"# TYPE {name} histogram"], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self.sum!r}", f"{name}_count {total}"]


class Metrics:
    """The requests of one process so far, for a model that reads ``max_input_length`` tokens.

    ``work`` is TEI's word for an input's work, in the names: ``predict`` for a classifier or reranker, else ``embed``.
    """

    def __init__(self, max_input_length: int, work: str) -> None:
        self._work = work
        self._counters: Counter[str] = Counter()
        """By name and labels."""
        self._lengths = Histogram([bound for bound in LENGTH_BUCKETS if bound <= max_input_length])
        self._durations = {
            f"te_{scope}_{step}duration": Histogram(DURATION_BUCKETS) for scope in ("request", work) for step in STEPS
        }

    def count_request(self, method: str) -> None:
        """Count a request with inputs when it arrives; ``method`` is ``single`` or ``batch``."""
        self._counters[f'te_request_count{{method="{method}"}}'] += 1

    def count_success(self, method: str, usage: Usage, seconds: float) -> None:
        """Count a request that was answered in ``seconds``.

        Its inputs count as one batch: as in TEI each has the times of the batch, so the mean over them is that of the request.
        None waits in a queue.
        """
        self._counters[f'te_request_success{{method="{method}"}}'] += 1
        self._counters[f"te_{self._work}_success"] += usage.texts
        for scope, times in (("request", 1), (self._work, usage.texts)):
            values = (seconds, usage.tokenization_seconds, 0.0, usage.inference_seconds)
            for step, value in zip(STEPS, values, strict=True):
                self._durations[f"te_{scope}_{step}duration"].observe(value, times)

    def count_failure(self, error: Exception) -> None:
        """Count a request that fails with ``error``. TEI does not count what no handler sees: a body that is not JSON or has
        fields of another type, a missing key, an unknown path."""
        if isinstance(error, HttpError):
            return
        if not isinstance(error, RequestError):
            label = "inference"
        elif isinstance(error, InvalidInput) and error.param not in ("inputs", "prompt_name"):
            label = "validation"
        else:
            label = FAILURES.get(type(error), "tokenization")
        self._counters[f'te_request_failure{{err="{label}"}}'] += 1

    def count_inputs(self, count: int) -> None:
        """Count inputs before they are tokenized."""
        self._counters[f"te_{self._work}_count"] += count

    def observe_lengths(self, encoded: Encoded) -> None:
        """Count inputs by their length in tokens; that of a long text is the sum of its windows'."""
        for windows in encoded.windows:
            self._lengths.observe(sum(map(len, windows)))

    def render(self) -> str:
        """All metrics in Prometheus' text format."""
        lines, named = [], None
        for name, value in sorted(self._counters.items()):
            if named != (named := name.partition("{")[0]):
                lines.append(f"# TYPE {named} counter")
            lines.append(f"{name} {value}")
        for name, histogram in (*self._durations.items(), ("te_request_input_length", self._lengths)):
            lines += histogram.render(name)
        return "\n".join(lines) + "\n"
