"""Metrics, alarms and dashboard: their names agree with those that the runtime writes, and their values are right."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.aws_cloudwatch import Metric

from configuration.groups import Compute
from infra import EmbeddingService
from infra.watch.metrics import NAMESPACE, Metrics
from infra.watch.prices import COMPUTE, USD_PER_REQUEST
from runtime.aws import telemetry

from .conftest import Template, properties, resources


def dashboard(template: Template) -> dict[str, Any]:
    """The dashboard's body, with its references filled in by their names."""
    (body,) = properties(template, "AWS::CloudWatch::Dashboard")
    parts = body["DashboardBody"]["Fn::Join"][1]
    return json.loads("".join(part if isinstance(part, str) else next(iter(part.values()))[0] for part in parts))


def metrics(template: Template) -> Iterator[tuple[str, str]]:
    """Namespace and name of every metric that an alarm or the dashboard asks for."""
    for alarm in properties(template, "AWS::CloudWatch::Alarm"):
        for query in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
            if "MetricStat" in query:
                yield query["MetricStat"]["Metric"]["Namespace"], query["MetricStat"]["Metric"]["MetricName"]
    for widget in dashboard(template)["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                yield metric[0], metric[1]


def alarm(template: Template, name: str) -> dict[str, Any]:
    """The alarm of this name."""
    (found,) = properties(template, "AWS::CloudWatch::Alarm", f"EmbeddingsMonitoring{name}")
    return found


def test_watched_metrics_are_those_that_are_written(templates: dict[str, Template]) -> None:
    asked = set(metrics(templates["watched"]))

    assert NAMESPACE == telemetry.NAMESPACE
    assert {name for namespace, name in asked if namespace == NAMESPACE} <= set(telemetry.UNITS)
    # AWS Lambda's own, by its developer guide ("Types of metrics for Lambda functions").
    lambdas = {"Duration", "Errors", "Invocations", "Throttles", "Url5xxCount"}
    assert {name for namespace, name in asked if namespace == "AWS/Lambda"} == lambdas


def test_all_metrics_of_a_service_together_are_those_that_are_written(
    feature_flags: dict[str, Any], tmp_path: Path, small_artifact: Path
) -> None:
    stack = Stack(App(outdir=str(tmp_path), context=feature_flags), "Stack")
    service = EmbeddingService(stack, "Embeddings", artifact=small_artifact, build_context=small_artifact.parents[2])

    names = [name for name in dir(Metrics) if not name.startswith("_") and name != "failed_share"]
    metrics = [getattr(service.metrics, name)() for name in names]

    # The alarm of a gradual deployment reads the one that is written by version.
    own = {metric.metric_name for metric in metrics if isinstance(metric, Metric) and metric.namespace == NAMESPACE}
    assert own == set(telemetry.UNITS) - {"Failures"}


def test_dashboard_answers_at_a_glance(templates: dict[str, Template]) -> None:
    numbers, *graphs = dashboard(templates["watched"])["widgets"]

    shown = json.dumps(numbers)
    for word in ("requests", "tokens", "p50 ms", "p99 ms", "% cold", "dollars a million tokens", "dollars a month"):
        assert word in shown
    assert {"Alarms", "How many", "How fast, ms", "How many cold"} <= {graph["properties"]["title"] for graph in graphs}


def test_alarms(templates: dict[str, Template]) -> None:
    template = templates["watched"]

    assert len(resources(template, "AWS::CloudWatch::Alarm")) == 5
    assert alarm(template, "P99Duration")["ExtendedStatistic"] == "p99"
    assert alarm(template, "P99Duration")["EvaluateLowSampleCountPercentile"] == "ignore"
    assert alarm(template, "P99Duration")["Threshold"] == 30_000  # half of the timeout
    # 131,072 tokens in texts of 512, at 82 ms a text (README), do not trip it.
    assert alarm(template, "P99Duration")["Threshold"] > 131_072 / 512 * 82
    assert alarm(template, "Memory")["Threshold"] == pytest.approx(0.9 * Compute().memory_mb)
    assert alarm(template, "Spend")["Threshold"] == 50
    assert {found["TreatMissingData"] for found in properties(template, "AWS::CloudWatch::Alarm")} == {"notBreaching"}


@pytest.mark.parametrize(
    ("counted", "failures"),
    [
        ({"Errors": 0, "Url5xxCount": 0, "Internal": 0}, 0),
        ({"Errors": 2, "Url5xxCount": 2, "Internal": 0}, 2),  # crashes, which the URL answers with 502
        ({"Errors": 0, "Url5xxCount": 1, "Internal": 0}, 1),  # the key cannot be read
        ({"Errors": 0, "Url5xxCount": 0, "Internal": 3}, 3),  # faults in direct invocations
    ],
)
def test_failures_are_counted_once_and_callers_mistakes_not(
    counted: dict[str, int], failures: int, templates: dict[str, Template]
) -> None:
    *inputs, result = sorted(alarm(templates["watched"], "Errors")["Metrics"], key=lambda query: "Expression" in query)
    series = {}
    for query in inputs:
        metric = query["MetricStat"]["Metric"]
        kinds = [pair["Value"] for pair in metric["Dimensions"] if pair["Name"] == "ErrorType"]
        series[query["Id"]] = counted[kinds[0] if kinds else metric["MetricName"]]

    assert eval(result["Expression"], {"MAX": max, "FILL": lambda series, _: series} | series) == failures


def test_alarms_have_the_thresholds_that_are_set(templates: dict[str, Template]) -> None:
    template = templates["watched-closely"]

    assert alarm(template, "P99Duration")["Threshold"] == 800
    assert alarm(template, "Spend")["Threshold"] == 5
    assert all("AlarmActions" not in found for found in properties(template, "AWS::CloudWatch::Alarm"))


def test_alarms_are_sent_to_an_address_or_a_topic(templates: dict[str, Template]) -> None:
    (topic,) = resources(templates["watched"], "AWS::SNS::Topic")
    (subscription,) = properties(templates["watched"], "AWS::SNS::Subscription")

    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "team@example.com")
    for found in properties(templates["watched"], "AWS::CloudWatch::Alarm"):
        assert found["AlarmActions"] == found["OKActions"] == [{"Ref": topic}]
    assert not resources(templates["watched-topic"], "AWS::SNS::Topic")
    for found in properties(templates["watched-topic"], "AWS::CloudWatch::Alarm"):
        assert found["AlarmActions"] == ["arn:aws:sns:eu-central-1:123456789012:alarms"]


def test_alarms_may_use_an_encrypted_topic(templates: dict[str, Template]) -> None:
    (key,) = properties(templates["everything"], "AWS::KMS::Key")

    (grant,) = (
        statement
        for statement in key["KeyPolicy"]["Statement"]
        if statement["Principal"].get("Service") == "cloudwatch.amazonaws.com"
    )
    assert grant["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert grant["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def spend(template: Template, busy: float | None, init: float | None, calls: float | None) -> float:
    """The spend alarm's metric for a day with these sums of ``Duration``, ``InitDuration`` (ms) and ``Invocations``; ``None`` for
    one without data, with which CloudWatch computes nothing unless it is filled."""
    queries = alarm(template, "Spend")["Metrics"]
    expressions = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    assert {query["MetricStat"]["Period"] for query in queries if "MetricStat" in query} == {86_400}
    functions = {"FILL": lambda series, value: value if series is None else series, "PERIOD": lambda _: 86_400}
    sums = {"busy": busy, "init": init, "calls": calls}
    usd = eval(expressions.pop("usd"), functions | sums)
    (monthly,) = expressions.values()
    return eval(monthly, functions | sums | {"usd": usd})


def test_spend_is_estimated_by_list_price(templates: dict[str, Template]) -> None:
    # 1,000 requests of one second each, 10 cold starts of two.
    monthly = spend(templates["watched"], busy=1_000_000, init=20_000, calls=1_000)

    a_day = 1020 * Compute().memory_mb / 1024 * COMPUTE["x86_64"].on_demand + 1_000 * USD_PER_REQUEST
    assert monthly == pytest.approx(a_day * 365 / 12, rel=1e-6)


def test_spend_counts_provisioned_environments(templates: dict[str, Template]) -> None:
    idle = spend(templates["everything"], busy=None, init=None, calls=None)

    assert idle == pytest.approx(
        86_400 * Compute().memory_mb / 1024 * COMPUTE["x86_64"].provisioned * 365 / 12, rel=1e-6
    )
