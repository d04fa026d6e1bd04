"""Counters and histograms of one process, which ``/metrics`` shows in Prometheus' text format.

Names and buckets are TEI's (``router/src/prometheus.rs``). On Lambda every execution environment has its own; CloudWatch has
the sums over all of them (``runtime.aws.telemetry``).
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from .messages import Response

DURATION_BUCKETS = tuple(0.00001 * 1.5**power for power in range(1, 36))
"""Seconds."""
FAILURES = {"Empty": "validation", "Validation": "validation", "Tokenizer": "tokenization", "Backend": "model_type"}


class Histogram:
    """How many values fell into each bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def render(self, name: str) -> list[str]:
        """The lines of this histogram."""
        lines, total = [f"# TYPE {name} histogram"], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self.sum!r}", f"{name}_count {total}"]


class Metrics:
    """The requests of one process so far."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        """By name and labels."""
        self.histograms = {
            "te_request_duration": Histogram(DURATION_BUCKETS),
            "te_request_tokenization_duration": Histogram(DURATION_BUCKETS),
            "te_request_inference_duration": Histogram(DURATION_BUCKETS),
        }

    def observe(self, response: Response, seconds: float) -> None:
        """Count one request."""
        if response.status >= 400:
            self.counters[f'te_request_failure{{err="{FAILURES.get(response.error_type, "request")}"}}'] += 1
        if response.usage is None:
            return
        method = "single" if response.usage.texts == 1 else "batch"
        self.counters[f'te_request_count{{method="{method}"}}'] += 1
        self.counters[f'te_request_success{{method="{method}"}}'] += 1
        self.counters["te_embed_count"] += response.usage.texts
        self.counters["te_embed_tokens"] += response.usage.tokens
        self.histograms["te_request_duration"].observe(seconds)
        self.histograms["te_request_tokenization_duration"].observe(response.usage.tokenization_seconds)
        self.histograms["te_request_inference_duration"].observe(response.usage.inference_seconds)

    def render(self) -> str:
        """All metrics in Prometheus' text format."""
        lines, named = [], None
        for name, value in sorted(self.counters.items()):
            if named != (named := name.partition("{")[0]):
                lines.append(f"# TYPE {named} counter")
            lines.append(f"{name} {value}")
        for name, histogram in self.histograms.items():
            lines += histogram.render(name)
        return "\n".join(lines) + "\n"
