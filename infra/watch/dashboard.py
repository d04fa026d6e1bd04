"""The dashboard: requests, latency, cold starts, failures, memory and cost."""

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from .metrics import DAY, PERIOD, Metrics

WIDTH = 24
"""Columns of a CloudWatch dashboard."""
HEIGHT = 6


def create_dashboard(
    scope: Construct, metrics: Metrics, memory_mb: int, p99_ms: int, alarms: Sequence[cloudwatch.IAlarm]
) -> cloudwatch.Dashboard:
    """Create a dashboard: numbers for the chosen time on top, graphs below.

    Args:
        scope: Construct to create it in.
        metrics: Metrics to show.
        memory_mb: Memory limit of the function in MiB, drawn as a line.
        p99_ms: Threshold of the alarm on the p99 duration in milliseconds, drawn as a line.
        alarms: Alarms whose state is shown.
    """
    numbers = cloudwatch.SingleValueWidget(
        title="In the chosen time",
        width=WIDTH,
        height=4,
        set_period_to_time_range=True,
        metrics=[
            metrics.requests().with_(label="requests"),
            metrics.texts().with_(label="texts"),
            metrics.tokens().with_(label="tokens"),
            metrics.latency("p50").with_(label="p50 ms"),
            metrics.latency("p99").with_(label="p99 ms"),
            metrics.cold_share(),
            metrics.usd_per_million_tokens(),
            metrics.monthly_usd(PERIOD),
        ],
    )
    rows = [
        [
            _graph(
                "How many",
                [metrics.requests(), metrics.texts()],
                [metrics.tokens().with_(label="tokens (right)")],
            ),
            _graph(
                "How fast, ms",
                [metrics.latency(percentile).with_(label=percentile) for percentile in ("p50", "p95", "p99")],
                lines=[("alarm", p99_ms)],
            ),
            _graph(
                "How many cold",
                [metrics.cold_starts()],
                [metrics.init_duration().with_(label="init, ms (right)")],
            ),
        ],
        [
            _graph("What goes wrong", [metrics.failures(), metrics.throttles(), metrics.errors_by_type()]),
            _graph(
                "Memory of an environment, MiB",
                [
                    metrics.memory_used("Maximum").with_(label="largest"),
                    metrics.memory_used("Average").with_(label="average: rising without end is a leak"),
                ],
                lines=[("limit", memory_mb)],
            ),
            _graph(
                "What it costs, US dollars",
                [metrics.usd()],
                [metrics.usd_per_million_tokens().with_(label="a million tokens (right)")],
            ),
        ],
    ]
    if alarms:
        rows.append([cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=WIDTH, height=3)])
    result = cloudwatch.Dashboard(scope, "Dashboard", default_interval=DAY)
    for row in [[numbers], *rows]:
        result.add_widgets(*row)
    return result


def bulk_row(jobs: sfn.IStateMachine, embed: Metrics) -> list[cloudwatch.IWidget]:
    """Return the row of bulk jobs.

    Args:
        jobs: The state machine of the jobs.
        embed: Metrics of the function that embeds a split.
    """
    counts = {"statistic": "Sum", "period": PERIOD}
    return [
        _graph(
            "Bulk jobs", [jobs.metric_started(**counts), jobs.metric_succeeded(**counts), jobs.metric_failed(**counts)]
        ),
        _graph("Splits of bulk jobs", [embed.invocations(), embed.failures(), embed.throttles()]),
        _graph("What bulk jobs cost, US dollars", [embed.usd()]),
    ]


def _graph(
    title: str,
    left: list[cloudwatch.IMetric],
    right: Sequence[cloudwatch.IMetric] = (),
    lines: Sequence[tuple[str, float]] = (),
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        width=WIDTH // 3,
        height=HEIGHT,
        left=left,
        right=list(right),
        left_annotations=[cloudwatch.HorizontalAnnotation(label=label, value=value) for label, value in lines],
    )
