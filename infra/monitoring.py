"""What watches a service: a dashboard, alarms, the topic that they tell, and a budget."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aws_cdk import Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from configuration.options import Monitoring

from .dashboard import service_dashboard

if TYPE_CHECKING:
    from .embedding_service import EmbeddingService

MEMORY_SHARE = 0.9
"""Share of the memory whose use is near the limit."""
QUARTER_HOUR = 3
"""Periods of five minutes."""


class ServiceMonitoring(Construct):
    """Watches ``service``, as ``monitoring`` says.

    Attributes:
        alarms: The alarms, by name; empty unless asked for.
        topic: What they tell, if anybody.
    """

    alarms: Mapping[str, cloudwatch.Alarm]
    topic: sns.ITopic | None

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: "EmbeddingService",
        monitoring: Monitoring,
        encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id)
        self._service, self._monitoring = service, monitoring
        self.topic = self._topic(encryption_key) if monitoring.alarms or monitoring.budget_monthly_usd else None
        self.alarms = self._alarms() if monitoring.alarms else {}
        if monitoring.dashboard:
            service_dashboard(self, service, monitoring, list(self.alarms.values()))
        if monitoring.budget_monthly_usd:
            self._budget(monitoring.budget_monthly_usd)

    def _topic(self, encryption_key: kms.IKey | None) -> sns.ITopic | None:
        if self._monitoring.alarm_topic_arn:
            return sns.Topic.from_topic_arn(self, "Topic", self._monitoring.alarm_topic_arn)
        if not self._monitoring.alarm_email:
            return None
        topic = sns.Topic(self, "Topic", display_name="Embeddings", enforce_ssl=True, master_key=encryption_key)
        topic.add_subscription(subscriptions.EmailSubscription(self._monitoring.alarm_email))
        here = {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        for service in ("cloudwatch", "budgets"):
            publisher = iam.ServicePrincipal(f"{service}.amazonaws.com").with_conditions(here)
            topic.grant_publish(publisher)
            if encryption_key:
                # A key that was brought along has to say so in its own policy.
                encryption_key.add_to_resource_policy(
                    iam.PolicyStatement(
                        principals=[publisher], actions=["kms:Decrypt", "kms:GenerateDataKey*"], resources=["*"]
                    )
                )
        return topic

    def _alarms(self) -> dict[str, cloudwatch.Alarm]:
        service, monitoring = self._service, self._monitoring
        memory_limit = MEMORY_SHARE * service.compute.memory_mb
        return {
            "errors": self._alarm(
                "Errors", "Requests crash, time out or are answered with 5xx", service.metric_failures(), 1
            ),
            "throttles": self._alarm(
                "Throttles",
                "Requests are answered with 429: raise reserved_concurrency, or find out who calls so much",
                service.metric_throttles(),
                10,
            ),
            "p99_duration": self._alarm(
                "P99Duration",
                "One request in a hundred takes long: texts, batches or cold starts have grown",
                service.metric_duration("p99"),
                monitoring.alarm_p99_ms,
                QUARTER_HOUR,
            ),
            "memory": self._alarm(
                "Memory",
                "An environment is close to its memory limit: raise memory_mb, or look for a leak",
                service.metric_memory_used(),
                memory_limit,
            ),
            "spend": self._alarm(
                "Spend",
                "At the last day's rate a month costs more than alarm_monthly_usd",
                service.metric_monthly_usd(),
                monitoring.alarm_monthly_usd,
            ),
        }

    def _alarm(
        self, id: str, description: str, metric: cloudwatch.IMetric, threshold: float, periods: int = 1
    ) -> cloudwatch.Alarm:
        """An alarm at ``threshold`` or more, ``periods`` times in a row; a service that nobody calls is in order."""
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if self.topic:
            alarm.add_alarm_action(actions.SnsAction(self.topic))
            alarm.add_ok_action(actions.SnsAction(self.topic))
        return alarm

    def _budget(self, limit: float) -> None:
        """A budget on Lambda's bill of the whole account: one on tags alone stays at zero until somebody activates the
        tags for cost allocation."""
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=self.topic.topic_arn)
        budget = budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=limit, unit="USD"),
                cost_filters={"Service": ["AWS Lambda"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )
        budget.node.add_dependency(self.topic)
