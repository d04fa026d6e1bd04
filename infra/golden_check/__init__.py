"""Checks a new version: it must return the artifact's golden vectors before traffic moves to it."""

from pathlib import Path

import jsii
from aws_cdk import Acknowledgment, CustomResource, Duration, IStringProducer, Lazy, Stack, Validations, aws_logs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ..model_function import ModelFunction

HANDLER = Path(__file__).with_name("handler.py")

TIMEOUT = Duration.minutes(15)
"""Longest duration of the check, with the wait for a version that is not active yet or throttled; Lambda's longest."""

HASH_LENGTH = 32
"""Characters at the end of a version's logical id, by which the CDK tells versions apart."""


class GoldenCheck(Construct):
    """A custom resource that fails, and so stops the deployment, unless the new version of a function passes.

    The version compares its answers with the golden vectors in its image (``runtime.aws.golden``). The resource that moves
    traffic to the version has to depend on this.

    Each version has a resource of its own, whose logical id ends as that of the version. So a deployment creates one, and a
    rollback only deletes it. An update of one resource would be rolled back by a second update, which would ask the old
    version again, and wedge the stack if that fails.
    """

    def __init__(self, scope: Construct, id: str, *, model: ModelFunction) -> None:
        """Define the check.

        Args:
            scope: Construct to create it in.
            id: Name within ``scope``.
            model: The function whose current version is checked. Its logs' options hold for those of the check.
        """
        super().__init__(scope, id)
        version = model.function.current_version
        log_group = model.new_log_group(self)
        handler = lambda_.Function(
            self,
            "Handler",
            description="Asks a new version to compare its vectors with those of its artifact",
            code=lambda_.Code.from_inline(HANDLER.read_text()),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            timeout=TIMEOUT,
            role=_role(self, log_group, model.function),
            log_group=log_group,
        )
        result = CustomResource(
            self,
            "Result",
            resource_type="Custom::GoldenCheck",
            service_token=handler.function_arn,
            # In case the function ends without an answer: by default CloudFormation waits for an hour.
            service_timeout=TIMEOUT.plus(Duration.minutes(1)),
            properties={"Version": version.function_arn},
        ).node.default_child
        name = Stack.of(self).get_logical_id(result)
        result.override_logical_id(Lazy.uncached_string(_IdOfVersion(name, version)))


@jsii.implements(IStringProducer)
class _IdOfVersion:
    """A logical id that changes with a version: that of the version is complete only when the stack is synthesized."""

    def __init__(self, name: str, version: lambda_.Version) -> None:
        self._name = name
        self._version = version

    def produce(self, context: object) -> str:
        """Return the logical id."""
        version = self._version.node.default_child
        return self._name + Stack.of(version).resolve(version.logical_id)[-HASH_LENGTH:]


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
