"""The construct ``ModelFunction``: a Lambda function that runs the image of one artifact, and all it needs to run."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations, aws_logs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration import PROJECT
from configuration.errors import ConfigurationError
from configuration.groups import ServiceOptions
from runtime.engine.manifest import Manifest, read_manifest

from .encryption import encryption_key
from .image import image_code
from .memory import check_memory
from .network import network_interfaces, none_by_code, put_into
from .watch.metrics import Metrics

ALIAS = "live"


class ModelFunction(Construct):
    """A function with its image, role, logs, key, environment, version and alias.

    It reads the groups compute, image, serving, logs, network, ``traffic.provisioned_concurrency`` and
    ``monitoring.tracing``.

    Attributes:
        function: The Lambda function. Invoke ``alias`` instead of it.
        alias: The alias ``live``, which each deployment moves to a new version.
        role: The execution role. It may write to ``log_group``, and use the key and the network if there are any.
        log_group: The function's logs.
        encryption_key: The key that ``logs.kms_key`` names or creates, if any.
        removal_policy: What happens to stored data when the stack is destroyed, from ``logs.retain``.
        metrics: The function's metrics.
    """

    function: lambda_.DockerImageFunction
    alias: lambda_.Alias
    role: iam.Role
    log_group: aws_logs.LogGroup
    encryption_key: kms.IKey | None
    removal_policy: RemovalPolicy
    metrics: Metrics

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        artifact: Path | None = None,
        options: ServiceOptions = ServiceOptions(),
        command: Sequence[str] | None = None,
        description: str = "Text embeddings",
        bulk: bool = False,
        memory_option: str = "memory_mb",
        more_memory_mb: int = 0,
        build_context: Path = PROJECT,
    ) -> None:
        """Define the function.

        Args:
            scope: The stack, or a construct in it.
            id: Name within ``scope``.
            artifact: Folder that ``python -m model_export`` made, such as ``build/model/latest``. Needed unless
                ``options.image.image`` names an image in ECR.
            options: Options by group.
            command: Handler to run, such as ``["bulk.handlers.embed"]``. By default the command of the image.
            description: Description of the function.
            bulk: Run the image of bulk jobs.
            memory_option: Name of the option that sets the memory, for error messages.
            more_memory_mb: Memory that ``command`` needs beside the model, in MiB.
            build_context: Folder that the image is built from. It contains ``artifact`` and ``runtime/Dockerfile``.

        Raises:
            ConfigurationError: the options contradict each other, or do not fit the artifact.
            ArtifactError: ``artifact`` is not an artifact of this version of the project.
        """
        super().__init__(scope, id)
        compute, logs = options.compute, options.logs
        _check_concurrency(options)
        if artifact:
            manifest = read_manifest(artifact)
            check_memory(manifest, compute.memory_mb, memory_option, more_memory_mb)
            _check_default_prompt(manifest, options)
        self.removal_policy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if logs.retain else RemovalPolicy.DESTROY
        self.encryption_key = encryption_key(self, logs, self.removal_policy)
        self._log_retention_days = logs.log_retention_days
        self.log_group = self.new_log_group(self)
        self.role = self._execution_role(options)
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            description=description,
            code=image_code(self, artifact, options.image, compute.architecture, build_context, command, bulk),
            architecture=_ARCHITECTURES[compute.architecture],
            memory_size=compute.memory_mb,
            timeout=Duration.seconds(compute.timeout_seconds),
            reserved_concurrent_executions=options.reservation,
            environment=_environment(options),
            environment_encryption=self.encryption_key,
            role=self.role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE if options.monitoring.tracing else lambda_.Tracing.DISABLED,
            # Earlier versions are kept to go back to, until the function is deleted. A version whose deployment failed is
            # removed at once, so that the next deployment can publish it again.
            current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE),
        )
        if options.network.vpc_id:
            put_into(self, self.function, options.network)
        self.alias = lambda_.Alias(
            self,
            "Live",
            alias_name=ALIAS,
            version=self.function.current_version,
            provisioned_concurrent_executions=options.traffic.provisioned_concurrency or None,
        )
        self.metrics = Metrics(self.function, self.alias, compute, options.traffic.provisioned_concurrency)

    def new_log_group(self, scope: Construct) -> aws_logs.LogGroup:
        """Create a log group ``Logs`` in ``scope`` with this function's key, retention and removal policy."""
        group = aws_logs.LogGroup(scope, "Logs", encryption_key=self.encryption_key, removal_policy=self.removal_policy)
        group.node.default_child.retention_in_days = self._log_retention_days
        return group

    def _execution_role(self, options: ServiceOptions) -> iam.Role:
        """Create the function's role, without AWS's managed policies: those allow writing to any log group."""
        role = iam.Role(
            self,
            "Role",
            description="Embeddings endpoint: writes its own logs",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.log_group.grant_write(role)
        if self.encryption_key:
            self.encryption_key.grant_decrypt(role)
        if options.network.vpc_id:
            role.add_to_policy(network_interfaces())
            role.add_to_policy(none_by_code(self))
        if options.network.vpc_id or options.monitoring.tracing:
            Validations.of(role).acknowledge(
                Acknowledgment(
                    id="AwsSolutions-IAM5[Resource::*]",
                    reason="EC2's network interfaces and X-Ray's segments have no ARN to name before they exist.",
                )
            )
        return role


def _check_concurrency(options: ServiceOptions) -> None:
    """Refuse to provision all that is reserved: a new version, which runs beside the old one, could not start then."""
    wanted, limit = options.traffic.provisioned_concurrency, options.reservation
    if limit is not None and wanted and wanted >= limit:
        raise ConfigurationError(
            f"provisioned_concurrency: {wanted} leaves nothing of reserved_concurrency ({limit}) for a new version. "
            f"Allowed: 0 to {max(limit - 1, 0)}"
        )


def _check_default_prompt(manifest: Manifest, options: ServiceOptions) -> None:
    """Refuse a prompt that the runtime would refuse at its start, which is after the deployment."""
    prompt = options.serving.default_prompt
    if prompt is not None and prompt not in manifest.prompts:
        allowed = ", ".join(manifest.prompts) or "none, the model has no prompts"
        raise ConfigurationError(
            f"default_prompt: {prompt!r} is not a prompt of {manifest.model.id}. Allowed: {allowed}"
        )


def _environment(options: ServiceOptions) -> dict[str, str]:
    """Settings for the runtime, which reads them in ``runtime/settings.py``; those that are unset are left to its defaults."""
    settings = {
        "DEFAULT_PROMPT": options.serving.default_prompt,
        "LONG_TEXTS": options.serving.long_texts,
        "MAX_TOKENS": options.serving.max_tokens_per_request,
        "SERVED_MODEL_NAMES": ",".join(options.serving.served_model_names) or None,
        "LOG_LEVEL": options.logs.log_level,
        "LOG_CALLER": True if options.logs.log_caller else None,
    }
    return {f"EMBEDDINGS_{name}": str(value) for name, value in settings.items() if value is not None}


_ARCHITECTURES = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}
