"""Environments kept warm by calls at regular times: cheap, best effort."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration.options import WarmUp

HOLD_MS = 75
"""How long a warm-up call occupies its environment, in milliseconds, so that each of several finds another one."""
TARGETS_A_RULE = 5
"""EventBridge's limit of targets in a rule."""


class WarmUpSchedule(Construct):
    """Calls ``alias`` as many times at once as environments are to stay warm."""

    def __init__(self, scope: Construct, id: str, *, alias: lambda_.IFunction, warm_up: WarmUp) -> None:
        super().__init__(scope, id)
        # A call that comes late warms nothing; without this Lambda would try a throttled one for six hours.
        alias.configure_async_invoke(max_event_age=Duration.minutes(1), retry_attempts=0)
        call = events.RuleTargetInput.from_object({"warm_up": {"hold_ms": HOLD_MS}})
        for first in range(0, warm_up.warm_environments, TARGETS_A_RULE):
            rule = events.Rule(
                self,
                f"Rule{first // TARGETS_A_RULE}",
                description="Keeps environments of the embeddings endpoint warm",
                schedule=events.Schedule.rate(Duration.minutes(warm_up.warm_every_minutes)),
            )
            for _ in range(first, min(first + TARGETS_A_RULE, warm_up.warm_environments)):
                rule.add_target(targets.LambdaFunction(alias, event=call, retry_attempts=0))
