"""Gradual deployment: CodeDeploy moves the alias to a new version step by step, and back if it fails."""

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

FAILED_PERCENT = 5
"""Share of failures of the new version, within a minute, that moves the alias back."""


class GradualShift(Construct):
    """Lets CodeDeploy move an alias to a new version, and back if the new version fails meanwhile."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        alias: lambda_.Alias,
        shifting: str,
        failed_share: cloudwatch.IMetric,
    ) -> None:
        """Define the deployment group.

        Args:
            scope: Construct to create it in.
            id: Name within ``scope``.
            alias: The alias to move.
            shifting: A value of ``Traffic.traffic_shifting`` other than ``all_at_once``.
            failed_share: Metric of the share of requests to the new version that fail, in percent.
        """
        super().__init__(scope, id)
        alarm = cloudwatch.Alarm(
            self,
            "Failures",
            alarm_description="Rolls a deployment of the embeddings endpoint back",
            metric=failed_share,
            threshold=FAILED_PERCENT,
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
                reason="AWS maintains what CodeDeploy needs to shift an alias, and changes it with CodeDeploy.",
            )
        )
