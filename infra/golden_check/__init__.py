"""Checks a new version: it must return the artifact's golden vectors before traffic moves to it."""

import json
from pathlib import Path

import msgspec
from aws_cdk import Acknowledgment, CustomResource, Duration, RemovalPolicy, Stack, Validations, aws_logs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from runtime.engine.manifest import GOLDEN_FILE, Golden

HANDLER = Path(__file__).with_name("handler.py")
DECIMALS = 5
"""Decimals of a golden vector's numbers in the template; the required cosine needs three."""

TIMEOUT = Duration.minutes(10)
"""Longest duration of the check, retries of a throttled function included."""


class GoldenCheck(Construct):
    """A custom resource that fails, and so stops the deployment, unless a version returns the artifact's golden vectors.

    The resource that moves traffic to the version has to depend on it.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: lambda_.Function,
        version: lambda_.IVersion,
        artifact: Path,
    ) -> None:
        """Define the check.

        Args:
            scope: Construct to create it in.
            id: Name within ``scope``.
            function: The function whose versions are checked.
            version: The version to check.
            artifact: Folder of the artifact that ``version`` serves.
        """
        super().__init__(scope, id)
        log_group = aws_logs.LogGroup(
            self, "Logs", retention=aws_logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        handler = lambda_.Function(
            self,
            "Handler",
            description="Compares the vectors of a new version with those of the artifact",
            code=lambda_.Code.from_inline(HANDLER.read_text()),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            timeout=TIMEOUT,
            role=_role(self, log_group, function),
            log_group=log_group,
        )
        CustomResource(
            self,
            "Result",
            resource_type="Custom::GoldenCheck",
            service_token=handler.function_arn,
            # In case the function ends without an answer: by default CloudFormation waits for an hour.
            service_timeout=TIMEOUT.plus(Duration.minutes(1)),
            properties={
                "Version": version.function_arn,
                "Golden": json.dumps(golden_answers(artifact), separators=(",", ":")),
            },
        )


def golden_answers(artifact: Path) -> dict[str, list[float]]:
    """Return the expected vector of each golden text."""
    golden = msgspec.json.decode((artifact / GOLDEN_FILE).read_bytes(), type=list[Golden])
    return {entry.text: [round(number, DECIMALS) for number in entry.vector] for entry in golden}


def _role(scope: Construct, log_group: aws_logs.LogGroup, function: lambda_.Function) -> iam.Role:
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log_group.grant_write(role)
    role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[f"{function.function_arn}:*"]))
    function_id = Stack.of(scope).get_logical_id(function.node.default_child)
    Validations.of(role).acknowledge(
        Acknowledgment(
            id=f"AwsSolutions-IAM5[Resource::<{function_id}.Arn>:*]",
            reason="Any version of this one function: a policy for the new version alone would take effect too late.",
        )
    )
    return role
