"""The alarms, and the topic that they are sent to."""

from typing import NamedTuple

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from configuration.groups import Monitoring

from .metrics import Metrics

MEMORY_SHARE = 0.9
"""Share of the memory limit at which the memory alarm goes off."""
QUARTER_HOUR = 3
"""Periods of five minutes."""


class _Alarm(NamedTuple):
    """An alarm that goes off when ``metric`` is at ``threshold`` or more for ``periods`` periods in a row."""

    name: str
    description: str
    metric: cloudwatch.IMetric
    threshold: float
    periods: int = 1
    low_samples: str | None = None
    """``ignore`` keeps a percentile's alarm as it is while there are too few requests for one."""


def _table(metrics: Metrics, memory_mb: int, p99_ms: int, monthly_usd: float) -> list[_Alarm]:
    """All alarms. A new one is one entry here."""
    return [
        _Alarm("errors", "Requests crash, time out or are answered with 5xx", metrics.failures(), 1),
        _Alarm(
            "throttles",
            "Requests are answered with 429: raise reserved_concurrency, or find out who calls so much",
            metrics.throttles(),
            10,
        ),
        _Alarm(
            "p99_duration",
            "One request in a hundred takes long: texts, batches or cold starts have grown",
            metrics.duration("p99"),
            p99_ms,
            QUARTER_HOUR,
            low_samples="ignore",
        ),
        _Alarm(
            "memory",
            "An environment is close to its memory limit: raise memory_mb, or look for a leak",
            metrics.memory_used(),
            MEMORY_SHARE * memory_mb,
        ),
        _Alarm(
            "spend",
            "At the last day's rate a month costs more than alarm_monthly_usd",
            metrics.monthly_usd(),
            monthly_usd,
        ),
    ]


def create_alarms(
    scope: Construct,
    metrics: Metrics,
    memory_mb: int,
    p99_ms: int,
    monthly_usd: float,
    topic: sns.ITopic | None,
) -> dict[str, cloudwatch.Alarm]:
    """Create the alarms in ``scope`` and return them by name.

    Args:
        scope: Construct to create them in.
        metrics: Metrics to watch.
        memory_mb: Memory limit of the function in MiB.
        p99_ms: Threshold of the p99 duration in milliseconds.
        monthly_usd: Threshold of the spend in US dollars a month.
        topic: Topic that is notified when an alarm goes off, and when it is over.
    """
    table = _table(metrics, memory_mb, p99_ms, monthly_usd)
    return {entry.name: _create(scope, entry, topic) for entry in table}


def bulk_alarm(scope: Construct, failed: cloudwatch.IMetric, topic: sns.ITopic | None) -> cloudwatch.Alarm:
    """Create the alarm on bulk jobs in ``scope``.

    Args:
        scope: Construct to create it in.
        failed: Jobs that failed; count.
        topic: Topic that is notified.
    """
    description = "A bulk job failed: its execution says why, and the same job again continues it"
    return _create(scope, _Alarm("failed_jobs", description, failed, 1), topic)


def _create(scope: Construct, entry: _Alarm, topic: sns.ITopic | None) -> cloudwatch.Alarm:
    alarm = cloudwatch.Alarm(
        scope,
        "".join(word.capitalize() for word in entry.name.split("_")),
        alarm_description=entry.description,
        metric=entry.metric,
        threshold=entry.threshold,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=entry.periods,
        evaluate_low_sample_count_percentile=entry.low_samples,
        # Missing data counts as OK: there were no requests.
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    if topic:
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))
    return alarm


def alarm_topic(scope: Construct, monitoring: Monitoring, encryption_key: kms.IKey | None) -> sns.ITopic | None:
    """Return the topic that ``monitoring`` names, or create one for the address in it; ``None`` if it has neither."""
    if monitoring.alarm_topic_arn:
        return sns.Topic.from_topic_arn(scope, "Topic", monitoring.alarm_topic_arn)
    if not monitoring.alarm_email:
        return None
    topic = sns.Topic(scope, "Topic", display_name="Embeddings", enforce_ssl=True, master_key=encryption_key)
    topic.add_subscription(subscriptions.EmailSubscription(monitoring.alarm_email))
    here = {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
    publisher = iam.ServicePrincipal("cloudwatch.amazonaws.com").with_conditions(here)
    topic.grant_publish(publisher)
    if encryption_key:
        # This has no effect on a key from outside of the app: its own policy has to allow the same.
        encryption_key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[publisher], actions=["kms:Decrypt", "kms:GenerateDataKey*"], resources=["*"]
            )
        )
    return topic
