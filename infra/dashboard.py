"""The dashboard: how many, how fast, how many cold, and what it costs, at a glance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from configuration.options import Monitoring

from .metrics import DAY, NAMESPACE, PERIOD

if TYPE_CHECKING:
    from .embedding_service import EmbeddingService

WIDTH = 24
"""Columns of a CloudWatch dashboard."""
HEIGHT = 6


def service_dashboard(
    scope: Construct, service: "EmbeddingService", monitoring: Monitoring, alarms: list[cloudwatch.IAlarm]
) -> cloudwatch.Dashboard:
    """A dashboard of ``service`` with numbers for the chosen time on top, and their course below."""
    numbers = cloudwatch.SingleValueWidget(
        title="In the chosen time",
        width=WIDTH,
        height=4,
        set_period_to_time_range=True,
        metrics=[
            service.metric_requests().with_(label="requests"),
            service.metric_texts().with_(label="texts"),
            service.metric_tokens().with_(label="tokens"),
            service.metric_latency("p50").with_(label="p50 ms"),
            service.metric_latency("p99").with_(label="p99 ms"),
            service.metric_cold_share(),
            service.metric_usd_per_million_tokens(),
            service.metric_monthly_usd(PERIOD),
        ],
    )
    rows = [
        [
            _graph(
                "How many",
                [service.metric_requests(), service.metric_texts()],
                [service.metric_tokens().with_(label="tokens (right)")],
            ),
            _graph(
                "How fast, ms",
                [service.metric_latency(percentile).with_(label=percentile) for percentile in ("p50", "p95", "p99")],
                lines=[("alarm", monitoring.alarm_p99_ms)],
            ),
            _graph(
                "How many cold",
                [service.metric_cold_starts()],
                [service.metric_init_duration().with_(label="init, ms (right)")],
            ),
        ],
        [
            _graph(
                "What goes wrong", [service.metric_failures(), service.metric_throttles(), _errors_by_kind(service)]
            ),
            _graph(
                "Memory of an environment, MiB",
                [
                    service.metric_memory_used("Maximum").with_(label="largest"),
                    service.metric_memory_used("Average").with_(label="average: rising without end is a leak"),
                ],
                lines=[("limit", service.compute.memory_mb)],
            ),
            _graph(
                "What it costs, US dollars",
                [service.metric_usd()],
                [service.metric_usd_per_million_tokens().with_(label="a million tokens (right)")],
            ),
        ],
    ]
    dashboard = cloudwatch.Dashboard(scope, "Dashboard", default_interval=DAY)
    dashboard.add_widgets(numbers)
    for row in rows:
        dashboard.add_widgets(*row)
    if alarms:
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=WIDTH, height=3))
    return dashboard


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


def _errors_by_kind(service: "EmbeddingService") -> cloudwatch.MathExpression:
    """Every ``ErrorType`` that the runtime has written, without naming them here."""
    search = (
        f'{{{NAMESPACE},FunctionName,ErrorType}} FunctionName="{service.function.function_name}" MetricName="Errors"'
    )
    return cloudwatch.MathExpression(
        expression=f"SEARCH('{search}', 'Sum', 300)", label="", using_metrics={}, period=Duration.minutes(5)
    )
