"""The stack that ``app.py`` deploys: one service, and outputs and parameters by which callers find it."""

from pathlib import Path

from aws_cdk import CfnOutput, DefaultStackSynthesizer, PermissionsBoundary, Stack, Tags
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from configuration import PROJECT
from configuration.groups import NO_PARAMETERS, Access, Configuration
from runtime.engine.manifest import read_manifest

from .bulk import BulkEmbedding
from .embedding_service import EmbeddingService


class EmbeddingsStack(Stack):
    """A stack with one ``EmbeddingService``.

    Attributes:
        service: The service.
        bulk: The bulk jobs, if ``bulk_outputs`` is set.
    """

    def __init__(
        self, scope: Construct, configuration: Configuration, artifact: Path | None, build_context: Path = PROJECT
    ) -> None:
        """Define the stack.

        Args:
            scope: The app.
            configuration: Options of the service and the stack.
            artifact: Folder of the model to serve; ``None`` for an existing image in ECR.
            build_context: Folder that the image is built from. It contains ``artifact`` and ``runtime/Dockerfile``.

        Raises:
            ConfigurationError: the options contradict each other, or do not fit the artifact.
            ArtifactError: ``artifact`` is not an artifact of this version of the project.
        """
        deployment = configuration.deployment
        super().__init__(
            scope,
            deployment.full_name,
            description="Serverless text embeddings: a model in a Lambda function behind a Function URL",
            tags=deployment.tags,
            termination_protection=deployment.termination_protection,
            synthesizer=DefaultStackSynthesizer(qualifier=deployment.qualifier),
            permissions_boundary=_boundary(deployment.permissions_boundary),
        )
        self.service = EmbeddingService(
            self, "Embeddings", artifact=artifact, options=configuration, build_context=build_context
        )
        self.bulk = None
        if configuration.bulk.bulk_outputs:
            self.bulk = BulkEmbedding(
                self,
                "Bulk",
                artifact=artifact,
                options=configuration,
                alarm_topic=self.service.alarm_topic,
                build_context=build_context,
            )
            if self.service.dashboard:
                self.service.dashboard.add_widgets(*self.bulk.dashboard_row())
        for key, value in deployment.tags.items():
            Tags.of(self).add(key, value)
        self._outputs(configuration.access)
        prefix = deployment.ssm_prefix or f"/serverless-embeddings/{deployment.full_name}"
        if prefix != NO_PARAMETERS:
            self._parameters(prefix, artifact)

    def _parameters(self, prefix: str, artifact: Path | None) -> None:
        """Write what other stacks, in any language, need to call the endpoint. Only the artifact knows the model."""
        values = {"url": self.service.url, "function-arn": self.service.alias.function_arn}
        if self.bulk:
            values |= {
                "bulk-state-machine": self.bulk.state_machine.state_machine_arn,
                "bulk-plan-function": self.bulk.plan.alias.function_arn,
            }
        if artifact:
            manifest = read_manifest(artifact)
            values |= {"model": manifest.model.id, "dimensions": str(manifest.dimensions)}
        scope = Construct(self, "Parameters")
        for key, value in values.items():
            if value is not None:
                ssm.StringParameter(scope, key.capitalize(), parameter_name=f"{prefix}/{key}", string_value=value)

    def _outputs(self, access: Access) -> None:
        outputs = {
            "FunctionName": (self.service.function.function_name, "For direct invocation, with the qualifier live"),
            "LogGroup": (self.service.log_group.log_group_name, "Where the service writes what it did"),
            "TryIt": (self._try_it(access), "A command that embeds two texts"),
        }
        if self.service.url:
            outputs["Url"] = (self.service.url, "Address of the endpoint")
        if self.service.domain_target:
            outputs["DomainTarget"] = (self.service.domain_target, "Where the DNS record of the domain has to point")
        if self.service.api_key:
            outputs["ApiKeySecret"] = (self.service.api_key.secret_arn, "Secret that holds the API key")
        if self.bulk:
            outputs["BulkStateMachine"] = (self.bulk.state_machine.state_machine_arn, "Runs bulk jobs")
            outputs["BulkPlanFunction"] = (self.bulk.plan.alias.function_arn, "Estimates bulk jobs")
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)

    def _try_it(self, access: Access) -> str:
        """Return a shell command that calls the endpoint, with the credentials that it needs."""
        service = self.service
        body = """'{"inputs": ["First text", "Second text"]}'"""
        if not service.url:
            return (
                f"aws lambda invoke --region {self.region} --function-name {service.alias.function_arn} "
                f"--cli-binary-format raw-in-base64-out --payload {body} /dev/stdout"
            )
        if service.api_key:
            get_key = f"aws secretsmanager get-secret-value --secret-id {service.api_key.secret_arn}"
            credentials = f'-H "Authorization: Bearer $({get_key} --query SecretString --output text)" '
        elif access.auth == "iam":
            signed_for = "execute-api" if access.endpoint == "api_gateway" else "lambda"
            credentials = (
                f'--aws-sigv4 "aws:amz:{self.region}:{signed_for}" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
                '-H "x-amz-security-token: $AWS_SESSION_TOKEN" '
            )
        else:
            credentials = ""
        command = f"curl {credentials}-H 'Content-Type: application/json' -d {body} {service.url}embed"
        # curl reads the environment only. The AWS CLI exports the credentials of a profile or a login, for this command alone.
        return (
            f'(eval "$(aws configure export-credentials --format env)"; {command})' if access.auth == "iam" else command
        )


def _boundary(policy: str | None) -> PermissionsBoundary | None:
    if policy is None:
        return None
    return PermissionsBoundary.from_arn(policy) if policy.startswith("arn:") else PermissionsBoundary.from_name(policy)
