"""The construct ``EmbeddingService``: a model function behind a URL, with access control, checked changes and alarms."""

import os
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Duration, Stack, Token, aws_logs
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from configuration import PROJECT
from configuration.errors import ConfigurationError
from configuration.groups import Compute, Monitoring, ServiceOptions

from .access import api_key_secret, function_url, let_read, principal
from .gateway import ModelGateway
from .golden_check import GoldenCheck
from .gradual_shift import GradualShift
from .model_function import ModelFunction
from .regions import has_function_urls
from .watch.alarms import alarm_topic, create_alarms
from .watch.dashboard import create_dashboard
from .watch.metrics import Metrics


class EmbeddingService(Construct):
    """An embeddings endpoint.

    Attributes:
        url: HTTPS address of the endpoint, with a slash at its end; ``None`` if ``access.endpoint`` is ``none``.
        domain_target: Name that the DNS record of ``gateway.domain_name`` has to point at; ``None`` without a domain.
        function: The Lambda function. Invoke ``alias`` instead of it.
        alias: The alias ``live``, which each deployment moves to a new version.
        role: The function's execution role. It may write its logs, and do what the chosen options need.
        log_group: The function's logs.
        encryption_key: The key that ``logs.kms_key`` names or creates, if any.
        api_key: The secret with the API key if ``access.auth`` is ``api_key``, else ``None``.
        metrics: The service's metrics, such as ``metrics.latency("p99")``.
        alarms: The alarms by name; empty unless ``monitoring.alarms`` is set.
        alarm_topic: The topic that the alarms notify, if any.
        dashboard: The dashboard if ``monitoring.dashboard`` is set.
    """

    url: str | None
    domain_target: str | None
    function: lambda_.DockerImageFunction
    alias: lambda_.Alias
    role: iam.Role
    log_group: aws_logs.LogGroup
    encryption_key: kms.IKey | None
    api_key: secretsmanager.ISecret | None
    metrics: Metrics
    alarms: Mapping[str, cloudwatch.Alarm]
    alarm_topic: sns.ITopic | None
    dashboard: cloudwatch.Dashboard | None

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        artifact: Path | None = None,
        options: ServiceOptions = ServiceOptions(),
        build_context: Path = PROJECT,
    ) -> None:
        """Define the service.

        Args:
            scope: The stack, or a construct in it.
            id: Name within ``scope``.
            artifact: Folder that ``python -m model_export`` made, such as ``build/model/latest``. Needed unless
                ``options.image.image`` names an image in ECR.
            options: Options by group.
            build_context: Folder that the image is built from. It contains ``artifact`` and ``runtime/Dockerfile``.

        Raises:
            ConfigurationError: the options contradict each other, or do not fit the artifact.
            ArtifactError: ``artifact`` is not an artifact of this version of the project.
        """
        super().__init__(scope, id)
        access, traffic = options.access, options.traffic
        _check_traffic(options)
        _check_gateway(options)
        if access.endpoint == "function_url":
            _check_region(self)
        # The CDK leaves "Default" out of logical ids. So the resources keep the ids that they had before ModelFunction was
        # a construct, and an update of a deployed stack replaces none of them.
        model = ModelFunction(self, "Default", artifact=artifact, options=options, build_context=build_context)
        self.function, self.alias, self.role = model.function, model.alias, model.role
        self.log_group, self.encryption_key, self.metrics = model.log_group, model.encryption_key, model.metrics
        self.function.add_environment("EMBEDDINGS_AUTH", access.auth)
        self.api_key = None
        if access.auth == "api_key":
            self.api_key = api_key_secret(self, access, model.encryption_key, model.removal_policy)
            self.function.add_environment("EMBEDDINGS_API_KEY_SECRET_ARN", self.api_key.secret_arn)
            let_read(self.role, self.api_key, access)
        if traffic.golden_check:
            self.alias.node.add_dependency(GoldenCheck(self, "GoldenCheck", model=model))
        if traffic.traffic_shifting != "all_at_once":
            failed = self.metrics.failed_share(self.function.current_version, Duration.minutes(1))
            GradualShift(self, "Shift", alias=self.alias, shifting=traffic.traffic_shifting, failed_share=failed)
        self._entrance = self._make_entrance(options)
        self.url = self._entrance.url if self._entrance else None
        self.domain_target = self._entrance.domain_target if isinstance(self._entrance, ModelGateway) else None
        if options.compute.keep_active:
            self._keep_active()
        for name in access.principals:
            self.grant_invoke(principal(name))
        self._watch(options.monitoring, options.compute)

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` call the endpoint, through its URL if it has one, and by direct invocation of ``alias``."""
        if self._entrance:
            self._entrance.grant_invoke_url(grantee)
        self.alias.grant_invoke(grantee)

    def _make_entrance(self, options: ServiceOptions) -> lambda_.FunctionUrl | ModelGateway | None:
        """Create what gives the alias an address."""
        access = options.access
        if access.endpoint == "api_gateway":
            return ModelGateway(self, "Gateway", alias=self.alias, options=options.gateway, signed=access.auth == "iam")
        return function_url(self.alias, access) if access.endpoint == "function_url" else None

    def _keep_active(self) -> None:
        """Invoke the alias once a day.

        Lambda sets a function whose image was not used for some weeks inactive, and the invocation that wakes it fails:
        https://docs.aws.amazon.com/lambda/latest/dg/images-create.html (function lifecycle).
        """
        scheduler.Schedule(
            self,
            "KeepActive",
            description="Keeps Lambda from setting the embeddings endpoint inactive while nobody calls it",
            schedule=scheduler.ScheduleExpression.rate(Duration.days(1)),
            # ``runtime.aws.events`` answers this at once.
            target=targets.LambdaInvoke(
                self.alias, input=scheduler.ScheduleTargetInput.from_object({"keep_active": True})
            ),
        )

    def _watch(self, monitoring: Monitoring, compute: Compute) -> None:
        """Create the alarms and the dashboard."""
        scope, memory_mb = Construct(self, "Monitoring"), compute.memory_mb
        p99_ms = monitoring.alarm_p99_ms or compute.timeout_seconds * 1000 // 2
        self.alarms, self.alarm_topic, self.dashboard = {}, None, None
        if monitoring.alarms:
            self.alarm_topic = alarm_topic(scope, monitoring, self.encryption_key)
            self.alarms = create_alarms(
                scope, self.metrics, memory_mb, p99_ms, monitoring.alarm_monthly_usd, self.alarm_topic
            )
        if monitoring.dashboard:
            self.dashboard = create_dashboard(scope, self.metrics, memory_mb, p99_ms, list(self.alarms.values()))


def _check_traffic(options: ServiceOptions) -> None:
    """Refuse options with which a deployment would fail, or never end."""
    if options.traffic.golden_check and options.reservation == 0:
        raise ConfigurationError(
            "golden_check: reserved_concurrency is 0, so that the new version cannot be asked. Allowed: false"
        )
    if options.traffic.provisioned_concurrency and not options.traffic.golden_check:
        raise ConfigurationError(
            f"provisioned_concurrency: {options.traffic.provisioned_concurrency} needs golden_check: a version that cannot "
            "start would otherwise keep the alias from moving forth or back. Allowed: 0, or golden_check = true"
        )


def _check_gateway(options: ServiceOptions) -> None:
    """Refuse options of a gateway where there is none."""
    changed = options.gateway.model_dump(exclude_defaults=True)
    if changed and options.access.endpoint != "api_gateway":
        raise ConfigurationError(
            f"{next(iter(changed))}: needs endpoint = api_gateway. endpoint is {options.access.endpoint}"
        )


def _check_region(service: EmbeddingService) -> None:
    """Refuse a URL where there are none. The region of a stack without one is that of the CDK CLI."""
    region = Stack.of(service).region
    if Token.is_unresolved(region):
        region = os.environ.get("CDK_DEFAULT_REGION", "")
    if not has_function_urls(region):
        raise ConfigurationError(
            f"endpoint: {region} has no Lambda Function URLs. Allowed: api_gateway, or none for direct invocations only"
        )
