"""The construct: a function that serves one artifact, its role, its logs, its URL, and what watches and changes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Size, Validations, aws_logs
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from configuration.errors import ConfigurationError
from configuration.options import Access, Compute, Image, Logs, Monitoring, Network, Serving, Traffic, WarmUp
from configuration.settings import PROJECT
from runtime.engine.manifest import Manifest, read_manifest

from .access import api_key_secret, function_url, principal, secret_reader
from .encryption import encryption_key
from .golden_check import GoldenCheck
from .image import image_code
from .memory import check_memory
from .metrics import ServiceMetrics
from .monitoring import ServiceMonitoring
from .network import network_interfaces, put_into
from .traffic import VERSION_OPTIONS, GradualShift, live_alias
from .warm_up import WarmUpSchedule


class EmbeddingService(Construct, ServiceMetrics):
    """An embeddings endpoint. Every group of options has defaults; ``configuration.options`` documents each option.

    Attributes:
        function: The Lambda function. Call ``alias``, not it.
        alias: The alias ``live``, which moves to a new version with each deployment.
        url: HTTPS address of the endpoint, with a slash at its end.
        role: The function's execution role: it may write its logs, and what the chosen options need.
        log_group: The function's logs.
        api_key: The secret with the API key, for ``auth`` = ``api_key``, else ``None``.
        auth: How callers prove who they are: ``iam``, ``api_key`` or ``none``.
        compute: How large and how many.
        provisioned_concurrency: Environments kept initialized.
        alarms: The alarms, by name; empty unless asked for.
        alarm_topic: What the alarms and the budget tell, if anybody.
    """

    function: lambda_.DockerImageFunction
    alias: lambda_.Alias
    url: str
    role: iam.Role
    log_group: aws_logs.LogGroup
    api_key: secretsmanager.ISecret | None
    alarms: Mapping[str, cloudwatch.Alarm]
    alarm_topic: sns.ITopic | None

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        artifact: Path | None = None,
        image: Image = Image(),
        compute: Compute = Compute(),
        serving: Serving = Serving(),
        access: Access = Access(),
        logs: Logs = Logs(),
        network: Network = Network(),
        traffic: Traffic = Traffic(),
        warm_up: WarmUp = WarmUp(),
        monitoring: Monitoring = Monitoring(),
        build_context: Path = PROJECT,
    ) -> None:
        """Define the service.

        Args:
            scope: The stack, or a construct in it.
            id: Name within ``scope``.
            artifact: Folder that ``python -m model_export`` made, such as ``build/model/latest``; needed unless ``image``
                names one in ECR.
            image: Where the container image comes from.
            compute: Architecture, memory, time and concurrency.
            serving: Defaults and limits of the API.
            access: Authentication, and who may call.
            logs: Format, retention and encryption of the logs.
            network: A VPC to run in, if any.
            traffic: How a change reaches callers.
            warm_up: Environments kept warm by a schedule.
            monitoring: Dashboard, alarms, tracing and budget.
            build_context: Folder of the image's build: ``artifact`` and ``runtime/Dockerfile`` lie in it.

        Raises:
            ConfigurationError: the options contradict each other, or do not fit the artifact.
        """
        super().__init__(scope, id)
        _check(artifact, compute, serving, traffic, warm_up)
        removal_policy = RemovalPolicy.RETAIN if logs.retain else RemovalPolicy.DESTROY
        key = encryption_key(self, logs, removal_policy)
        self.auth = access.auth
        self.compute = compute
        self.provisioned_concurrency = traffic.provisioned_concurrency
        self.log_group = aws_logs.LogGroup(self, "Logs", encryption_key=key, removal_policy=removal_policy)
        self.log_group.node.default_child.retention_in_days = logs.log_retention_days
        self.api_key = api_key_secret(self, access, key, removal_policy) if access.auth == "api_key" else None
        self.role = self._execution_role(network, key, monitoring)
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            description="Text embeddings",
            code=image_code(self, artifact, image, compute.architecture, build_context),
            architecture=_ARCHITECTURES[compute.architecture],
            memory_size=compute.memory_mb,
            timeout=Duration.seconds(compute.timeout_seconds),
            ephemeral_storage_size=Size.mebibytes(compute.ephemeral_storage_mb),
            reserved_concurrent_executions=compute.reserved_concurrency,
            environment=_environment(serving, access, logs, self.api_key),
            environment_encryption=key,
            role=self.role,
            log_group=self.log_group,
            logging_format=_LOG_FORMATS[logs.log_format],
            tracing=lambda_.Tracing.ACTIVE if monitoring.tracing else lambda_.Tracing.DISABLED,
            current_version_options=VERSION_OPTIONS,
        )
        if network.vpc_id:
            put_into(self, self.function, network)
        self.alias = live_alias(self, self.function.current_version, traffic)
        self._guard_changes(artifact, traffic)
        self._function_url = function_url(self.alias, access)
        self.url = self._function_url.url
        for name in access.principals:
            self.grant_invoke(principal(name))
        if warm_up.warm_environments:
            WarmUpSchedule(self, "WarmUp", alias=self.alias, warm_up=warm_up)
        watch = ServiceMonitoring(self, "Monitoring", service=self, monitoring=monitoring, encryption_key=key)
        self.alarms, self.alarm_topic = watch.alarms, watch.topic

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` call the endpoint, through its URL and by direct invocation of ``alias``."""
        self._function_url.grant_invoke_url(grantee)
        self.alias.grant_invoke(grantee)

    def _guard_changes(self, artifact: Path | None, traffic: Traffic) -> None:
        """What a new version has to pass on its way to the callers."""
        if traffic.golden_check:
            check = GoldenCheck(
                self,
                "GoldenCheck",
                function=self.function,
                version=self.function.current_version,
                artifact=artifact,
            )
            self.alias.node.add_dependency(check)
        if traffic.traffic_shifting != "all_at_once":
            failures = self.metric_failures(Duration.minutes(1))
            GradualShift(self, "Shift", alias=self.alias, shifting=traffic.traffic_shifting, failures=failures)

    def _execution_role(self, network: Network, key: kms.IKey | None, monitoring: Monitoring) -> iam.Role:
        """The function's role, without AWS's managed policies: those may write to any log group."""
        role = iam.Role(
            self,
            "Role",
            description="Embeddings endpoint: writes its own logs",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.log_group.grant_write(role)
        if self.api_key:
            role.add_to_policy(secret_reader(self.api_key))
        if key:
            key.grant_decrypt(role)
        if network.vpc_id:
            role.add_to_policy(network_interfaces())
        if network.vpc_id or monitoring.tracing:
            Validations.of(role).acknowledge(
                Acknowledgment(
                    id="AwsSolutions-IAM5[Resource::*]",
                    reason="EC2's network interfaces and X-Ray's segments have no ARN to name before they exist.",
                )
            )
        return role


def _check(artifact: Path | None, compute: Compute, serving: Serving, traffic: Traffic, warm_up: WarmUp) -> None:
    """Refuse options that are right by themselves but not together, or not with this model."""
    if artifact:
        manifest = read_manifest(artifact)
        check_memory(manifest, compute.memory_mb)
        _check_serving(manifest, serving)
    elif traffic.golden_check:
        raise ConfigurationError("golden_check: needs the artifact, with its golden vectors; allowed here: false")
    if (limit := compute.reserved_concurrency) is None:
        return
    capacities = [
        traffic.provisioned_concurrency,
        *(step.capacity for step in traffic.provisioned_concurrency_schedule),
    ]
    for key, wanted in (("provisioned_concurrency", max(capacities)), ("warm_environments", warm_up.warm_environments)):
        if wanted > limit:
            raise ConfigurationError(f"{key}: {wanted} is more than reserved_concurrency allows; allowed: 0 to {limit}")


def _check_serving(manifest: Manifest, serving: Serving) -> None:
    """Refuse what the runtime would refuse when it starts, which is after the deployment."""
    if serving.default_prompt is not None and serving.default_prompt not in manifest.prompts:
        allowed = ", ".join(manifest.prompts) or "none, the model has no prompts"
        raise ConfigurationError(
            f"default_prompt: {serving.default_prompt!r} is no prompt of {manifest.model.id}; allowed: {allowed}"
        )
    room = manifest.max_tokens - len(manifest.tokenizer.prefix) - len(manifest.tokenizer.suffix)
    if serving.window_overlap is not None and serving.window_overlap >= room:
        raise ConfigurationError(
            f"window_overlap: {serving.window_overlap} leaves no room in a window of {manifest.model.id}; "
            f"allowed: 0 to {room - 1}"
        )


def _environment(
    serving: Serving, access: Access, logs: Logs, api_key: secretsmanager.ISecret | None
) -> dict[str, str]:
    """What the runtime is told (``runtime/settings.py`` reads it); its own defaults are left unsaid."""
    settings: dict[str, Any] = {
        "AUTH": access.auth,
        "API_KEY_SECRET_ARN": api_key.secret_arn if api_key else None,
        "API_KEY_REFRESH_SECONDS": access.api_key_refresh_seconds,
        "DEFAULT_PROMPT": serving.default_prompt,
        "LONG_TEXTS": serving.long_texts,
        "WINDOW_OVERLAP": serving.window_overlap,
        "MAX_TEXTS": serving.max_texts_per_request,
        "MAX_TOKENS": serving.max_tokens_per_request,
        "MAX_BODY_BYTES": serving.max_body_bytes,
        "SERVED_MODEL_NAME": serving.served_model_name,
        "THREADS": serving.threads,
        "LOG_LEVEL": logs.log_level,
    }
    return {f"EMBEDDINGS_{name}": str(value) for name, value in settings.items() if value is not None}


_ARCHITECTURES = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}
_LOG_FORMATS = {"JSON": lambda_.LoggingFormat.JSON, "Text": lambda_.LoggingFormat.TEXT}
