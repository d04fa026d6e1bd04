"""The stack that ``app.py`` deploys: one service, and outputs that say how to call it."""

from pathlib import Path

from aws_cdk import CfnOutput, DefaultStackSynthesizer, PermissionsBoundary, Stack, Tags
from constructs import Construct

from configuration.configuration import Configuration
from configuration.options import Access, Compute, Image, Logs, Monitoring, Network, Serving, Traffic, WarmUp
from configuration.settings import PROJECT

from .embedding_service import EmbeddingService


class EmbeddingsStack(Stack):
    """One ``EmbeddingService``, as ``configuration`` says.

    Attributes:
        service: The service.
    """

    def __init__(
        self, scope: Construct, configuration: Configuration, artifact: Path | None, build_context: Path = PROJECT
    ) -> None:
        """Define the stack.

        Args:
            scope: The app.
            configuration: What it is to be like.
            artifact: Folder of the model to serve; ``None`` for an image that is in ECR.
            build_context: Folder of the image's build, with ``runtime/Dockerfile`` and ``artifact`` in it.

        Raises:
            ConfigurationError: the options contradict each other, or do not fit the artifact.
        """
        name = "-".join(part for part in (configuration.stack_name, configuration.stage) if part)
        super().__init__(
            scope,
            name,
            description="Serverless text embeddings: a model in a Lambda function behind a Function URL",
            tags=configuration.tags,
            synthesizer=DefaultStackSynthesizer(qualifier=configuration.qualifier),
            permissions_boundary=_boundary(configuration.permissions_boundary),
        )
        groups = {
            "image": Image,
            "compute": Compute,
            "serving": Serving,
            "access": Access,
            "logs": Logs,
            "network": Network,
            "traffic": Traffic,
            "warm_up": WarmUp,
            "monitoring": Monitoring,
        }
        self.service = EmbeddingService(
            self,
            "Embeddings",
            artifact=artifact,
            build_context=build_context,
            **{prop: configuration.group(kind) for prop, kind in groups.items()},
        )
        for key, value in configuration.tags.items():
            Tags.of(self).add(key, value)
        self._outputs()

    def _outputs(self) -> None:
        outputs = {
            "Url": (self.service.url, "Address of the endpoint"),
            "FunctionName": (self.service.function.function_name, "For direct invocation, with the qualifier live"),
            "LogGroup": (self.service.log_group.log_group_name, "Where the service writes what it did"),
            "TryIt": (self._try_it(), "A command that embeds two texts"),
        }
        if self.service.api_key:
            outputs["ApiKeySecret"] = (self.service.api_key.secret_arn, "Secret that holds the API key")
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)

    def _try_it(self) -> str:
        """A shell command that calls the endpoint, with what its authentication takes."""
        service = self.service
        if service.api_key:
            get_key = f"aws secretsmanager get-secret-value --secret-id {service.api_key.secret_arn}"
            credentials = f'-H "Authorization: Bearer $({get_key} --query SecretString --output text)" '
        elif service.auth == "iam":
            credentials = (
                f'--aws-sigv4 "aws:amz:{self.region}:lambda" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
                '-H "x-amz-security-token: $AWS_SESSION_TOKEN" '
            )
        else:
            credentials = ""
        return (
            f"curl {credentials}-H 'Content-Type: application/json' "
            f"""-d '{{"inputs": ["First text", "Second text"]}}' {service.url}embed"""
        )


def _boundary(policy: str | None) -> PermissionsBoundary | None:
    if policy is None:
        return None
    return PermissionsBoundary.from_arn(policy) if policy.startswith("arn:") else PermissionsBoundary.from_name(policy)
