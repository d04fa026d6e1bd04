"""How a change reaches callers: the alias that they call, what moves it to a new version, and what moves it back."""

from aws_cdk import Acknowledgment, RemovalPolicy, Validations
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration.options import Traffic

ALIAS = "live"
VERSION_OPTIONS = lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
"""Earlier versions stay, to go back to; they go with the function. One whose deployment failed goes at once, so that the
next try may publish it again."""


def live_alias(scope: Construct, version: lambda_.Version, traffic: Traffic) -> lambda_.Alias:
    """The alias ``live`` on ``version``, with the environments that are kept initialized for it."""
    alias = lambda_.Alias(
        scope,
        "Live",
        alias_name=ALIAS,
        version=version,
        provisioned_concurrent_executions=traffic.provisioned_concurrency or None,
    )
    if traffic.provisioned_concurrency_schedule:
        capacities = [traffic.provisioned_concurrency, *(s.capacity for s in traffic.provisioned_concurrency_schedule)]
        scaling = alias.add_auto_scaling(min_capacity=min(capacities), max_capacity=max(capacities))
        for number, step in enumerate(traffic.provisioned_concurrency_schedule):
            scaling.scale_on_schedule(
                f"Schedule{number}",
                schedule=autoscaling.Schedule.expression(f"cron({step.cron})"),
                min_capacity=step.capacity,
                max_capacity=step.capacity,
            )
    return alias


class GradualShift(Construct):
    """Lets CodeDeploy move ``alias`` to a new version, and back when ``failures`` are counted meanwhile."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        alias: lambda_.Alias,
        shifting: str,
        failures: cloudwatch.IMetric,
    ) -> None:
        super().__init__(scope, id)
        alarm = cloudwatch.Alarm(
            self,
            "Failures",
            alarm_description="Rolls a deployment of the embeddings endpoint back",
            metric=failures,
            threshold=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        group = codedeploy.LambdaDeploymentGroup(
            self,
            "Group",
            alias=alias,
            deployment_config=getattr(codedeploy.LambdaDeploymentConfig, shifting.upper()),
            alarms=[alarm],
            auto_rollback=codedeploy.AutoRollbackConfig(deployment_in_alarm=True),
        )
        Validations.of(group).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]",
                reason="What CodeDeploy needs to shift an alias is AWS's to say, and changes with CodeDeploy.",
            )
        )
