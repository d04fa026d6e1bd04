"""The construct ``BulkEmbedding``: a state machine that embeds a corpus in S3, and the functions of its three steps."""

import json
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, ArnFormat, Aws, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from configuration import PROJECT
from configuration.errors import ConfigurationError
from configuration.groups import UNRESERVED, Access, Bulk, Compute, ServiceOptions, Traffic
from runtime.engine.manifest import read_manifest

from .model_function import ModelFunction
from .watch.alarms import bulk_alarm
from .watch.dashboard import bulk_row
from .watch.metrics import PERIOD
from .watch.prices import COMPUTE

TIMEOUT_SECONDS = 900
"""Lambda's longest; a split is planned to take 120."""

WORKER_MB = 500
"""Memory in MiB that a step needs beside the model: half for up to 32 small objects of 8 MiB that are fetched ahead (``AHEAD`` in
``bulk.inputs.reader``, ``PACKED_BYTES`` in ``bulk.plan``), half for pyarrow, botocore, and rows as they are read and written."""

LABEL = "splits"
"""Name of the map in the ARNs of its children."""

RETRY = [
    # A person has to mend these (bulk.errors); the same again would fail again.
    {"ErrorEquals": ["JobError", "InputError", "OutputError", "Incomplete"], "MaxAttempts": 0},
    # Nothing is lost while Lambda has no room, or wakes a function that nobody called for weeks: a quarter of an hour on average.
    {
        "ErrorEquals": [
            "Lambda.TooManyRequestsException",
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.ClientExecutionTimeoutException",
            "Lambda.ResourceConflictException",
            "Lambda.ResourceNotReadyException",
        ],
        "IntervalSeconds": 2,
        "BackoffRate": 2,
        "MaxDelaySeconds": 120,
        "MaxAttempts": 20,
        "JitterStrategy": "FULL",
    },
    # An environment that died, and a service that did not answer.
    {
        "ErrorEquals": ["States.TaskFailed"],
        "IntervalSeconds": 5,
        "BackoffRate": 3,
        "MaxAttempts": 3,
        "JitterStrategy": "FULL",
    },
]


class BulkEmbedding(Construct):
    """Bulk jobs: plan → embed, once for each split → commit. An execution's input is a job (:class:`bulk.job.Job`).

    The functions run an image of their own: the endpoint's with pyarrow in it. They may read and write the places that
    ``options.bulk`` names, and nothing else.

    Attributes:
        state_machine: The state machine.
        plan: The first step. Invoked directly with ``{"job": …, "estimate": true}``, it says how much work a job is.
        embed: The step that runs once for each split, at most ``options.bulk.bulk_concurrency`` times at once.
        commit: The last step.
        alarm: Goes off when a job fails; ``None`` unless ``options.monitoring.alarms`` is set.
    """

    state_machine: sfn.StateMachine
    plan: ModelFunction
    embed: ModelFunction
    commit: ModelFunction
    alarm: cloudwatch.Alarm | None

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        artifact: Path | None = None,
        options: ServiceOptions,
        alarm_topic: sns.ITopic | None = None,
        build_context: Path = PROJECT,
    ) -> None:
        """Define the jobs.

        Args:
            scope: The stack, or a construct in it.
            id: Name within ``scope``.
            artifact: Folder that ``python -m model_export`` made, such as ``build/model/latest``.
            options: Options by group. ``bulk.bulk_inputs`` and ``bulk.bulk_outputs`` have to be set. Of the others, those of
                ``ModelFunction`` and ``monitoring.alarms`` hold, except for sizes and concurrency.
            alarm_topic: Topic that the alarm notifies.
            build_context: Folder that the image is built from. It contains ``artifact``, ``runtime`` and ``bulk``.

        Raises:
            ConfigurationError: the options contradict each other, or do not fit the artifact.
            ArtifactError: ``artifact`` is not an artifact of this version of the project.
        """
        super().__init__(scope, id)
        bulk = options.bulk
        if not bulk.bulk_outputs:
            raise ConfigurationError("bulk_outputs: is needed for bulk jobs, as is bulk_inputs. Allowed: buckets")
        if artifact and (manifest := read_manifest(artifact)).task != "embed":
            raise ConfigurationError(
                f"bulk_outputs: {manifest.model.id} gives no vectors for bulk jobs: its task is {manifest.task}. Allowed: null"
            )
        self._artifact, self._build_context, self._options = artifact, build_context, options
        reserved = bulk.bulk_concurrency if bulk.bulk_reserve else UNRESERVED
        self.plan = self._step("plan", "Divides a corpus into splits")
        self.embed = self._step("embed", "Embeds a split of a corpus", reserved)
        self.commit = self._step("commit", "Checks and sums up an embedded corpus")
        self.plan.function.add_environment("EMBEDDINGS_BULK_CONCURRENCY", str(bulk.bulk_concurrency))
        self.plan.function.add_environment("EMBEDDINGS_BULK_SPLIT_SECONDS", str(bulk.bulk_split_seconds))
        price = COMPUTE[options.compute.architecture].on_demand * bulk.bulk_memory_mb / 1024
        for step in (self.plan, self.commit):
            step.function.add_environment("EMBEDDINGS_BULK_USD_PER_SECOND", f"{price:.12f}")
        for step in (self.plan, self.embed, self.commit):
            _let_use(step.role, bulk)
        role = iam.Role(
            self,
            "Role",
            description="Bulk embedding: runs the steps of a job",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
        )
        self.state_machine = sfn.StateMachine(
            self,
            "Job",
            comment="Embeds a corpus in S3; the input is a job, see docs/bulk.md",
            definition_body=sfn.DefinitionBody.from_string(json.dumps(self._definition())),
            role=role,
            tracing_enabled=options.monitoring.tracing,
        )
        self._let_run(role, bulk)
        Validations.of(self.state_machine).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SF1",
                reason="A Standard execution keeps its history for 90 days, and the functions log each split.",
            ),
            Acknowledgment(id="AwsSolutions-SF2", reason="The option tracing turns X-Ray on."),
        )
        if options.monitoring.tracing:
            _acknowledge(role, "*", "X-Ray's segments have no ARN to name.")
        self.alarm = None
        if options.monitoring.alarms:
            failed = self.state_machine.metric_failed(statistic="Sum", period=PERIOD)
            self.alarm = bulk_alarm(self, failed, alarm_topic)

    def dashboard_row(self) -> list[cloudwatch.IWidget]:
        """Return the row of a dashboard that shows the jobs, their splits and their cost."""
        return bulk_row(self.state_machine, self.embed.metrics)

    def grant_start(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` estimate, start, watch and stop jobs. What a job reads and writes is up to the jobs' own roles; to see an
        output's errors, ``grantee`` has to be allowed to read it."""
        self.plan.alias.grant_invoke(grantee)
        self.state_machine.grant_start_execution(grantee)
        self.state_machine.grant_read(grantee)
        self.state_machine.grant_execution(grantee, "states:ListMapRuns", "states:StopExecution")
        splits = Stack.of(self).format_arn(
            service="states",
            resource="mapRun",
            resource_name=f"{self.state_machine.state_machine_name}/{LABEL}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        for action, resource in (
            ("states:DescribeMapRun", splits),
            ("lambda:GetFunctionConcurrency", self.embed.function.function_arn),
            ("lambda:GetAccountSettings", "*"),
        ):
            iam.Grant.add_to_principal(grantee=grantee, actions=[action], resource_arns=[resource])

    def _step(self, name: str, description: str, reserved: int | str = UNRESERVED) -> ModelFunction:
        bulk = self._options.bulk
        compute = Compute(
            architecture=self._options.compute.architecture,
            memory_mb=bulk.bulk_memory_mb,
            timeout_seconds=TIMEOUT_SECONDS,
            reserved_concurrency=reserved,
        )
        own = {"compute": compute, "access": Access(), "traffic": Traffic()}
        return ModelFunction(
            self,
            name.capitalize(),
            artifact=self._artifact,
            options=self._options.model_copy(update=own),
            command=[f"bulk.handlers.{name}"],
            description=description,
            bulk=True,
            memory_option="bulk_memory_mb",
            more_memory_mb=WORKER_MB,
            build_context=self._build_context,
        )

    def _definition(self) -> dict[str, Any]:
        """The state machine in the Amazon States Language: https://states-language.net/spec.html."""
        split = {
            "Type": "Map",
            "Label": LABEL,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Embed a split",
                "States": {
                    "Embed a split": self._invoke(self.embed, {"split.$": "$.split", "job.$": "$.job"}) | {"End": True}
                },
            },
            "ItemReader": {
                "Resource": f"arn:{Aws.PARTITION}:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSONL"},
                "Parameters": {"Bucket.$": "$.manifest.bucket", "Key.$": "$.manifest.key"},
            },
            "ItemSelector": {"split.$": "$$.Map.Item.Value", "job.$": "$.job"},
            "MaxConcurrencyPath": "$.concurrency",
            # One split that fails must not stop the others. Commit says which are missing, and fails.
            "ToleratedFailurePercentage": 100,
            # The state's own result would be all children's, which are more than the 256 KiB that a state may have.
            "ResultWriter": {
                "Resource": f"arn:{Aws.PARTITION}:states:::s3:putObject",
                "Parameters": {"Bucket.$": "$.manifest.bucket", "Prefix.$": "$.results"},
            },
            "ResultPath": None,
            "Next": "Commit",
        }
        return {
            "StartAt": "Plan",
            "States": {
                "Plan": self._invoke(self.plan, {"job.$": "$", "execution.$": "$$.Execution.Id"})
                | {"Next": "Anything to embed?"},
                "Anything to embed?": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.splits", "NumericGreaterThan": 0, "Next": "Embed"}],
                    "Default": "Commit",
                },
                "Embed": split,
                "Commit": self._invoke(self.commit, {"job.$": "$.job", "run.$": "$.run"}) | {"End": True},
            },
        }

    @staticmethod
    def _invoke(step: ModelFunction, payload: dict[str, str]) -> dict[str, Any]:
        return {
            "Type": "Task",
            "Resource": f"arn:{Aws.PARTITION}:states:::lambda:invoke",
            "Parameters": {"FunctionName": step.alias.function_arn, "Payload": payload},
            "OutputPath": "$.Payload",
            "Retry": RETRY,
        }

    def _let_run(self, role: iam.Role, bulk: Bulk) -> None:
        """Let the state machine invoke its functions, read manifests, write the results of a map, and run its children."""
        for step in (self.plan, self.embed, self.commit):
            step.alias.grant_invoke(role)
        # What runs write, by the names of bulk.ledger.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
                resources=[f"{_arn(place)}/*_runs/*" for place in bulk.bulk_outputs],
            )
        )
        for place in bulk.bulk_outputs:
            _acknowledge(role, f"{_arn(place)}/*_runs/*", "A job may write below any prefix of the places.")
        _let_use_keys(role, bulk)
        jobs, splits = (
            Stack.of(self).format_arn(
                service="states",
                resource="execution",
                resource_name=f"{self.state_machine.state_machine_name}{name}:*",
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in ("", f"/{LABEL}")
        )
        # Policies beside the roles, since the state machine depends on those in them.
        run_splits = iam.Policy(
            self,
            "RunSplits",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    actions=["states:StartExecution"], resources=[self.state_machine.state_machine_arn]
                ),
                iam.PolicyStatement(
                    actions=["states:DescribeExecution", "states:StopExecution"], resources=[jobs, splits]
                ),
            ],
        )
        # The plan asks whether the execution that began an output's last run is still running.
        see_jobs = iam.Policy(
            self,
            "SeeJobs",
            roles=[self.plan.role],
            statements=[iam.PolicyStatement(actions=["states:DescribeExecution"], resources=[jobs])],
        )
        for policy in (run_splits, see_jobs):
            for arn in (jobs, splits):
                _acknowledge(policy, arn, "An execution has no name before it exists.")


def _let_use(role: iam.Role, bulk: Bulk) -> None:
    """Let ``role`` read the inputs, and read and write the outputs."""
    for place in (*bulk.bulk_inputs, *bulk.bulk_outputs):
        bucket, _, prefix = place.partition("/")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[_arn(bucket)],
                conditions={"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}} if prefix else None,
            )
        )
    for places, actions in (
        (bulk.bulk_inputs, ["s3:GetObject"]),
        (bulk.bulk_outputs, ["s3:GetObject", "s3:PutObject"]),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[f"{_arn(place)}/*" for place in places]))
    _let_use_keys(role, bulk)
    for place in (*bulk.bulk_inputs, *bulk.bulk_outputs):
        _acknowledge(role, f"{_arn(place)}/*", "A job reads and writes any object of the places that the options name.")


def _let_use_keys(role: iam.Role, bulk: Bulk) -> None:
    if bulk.bulk_kms_keys:
        role.add_to_policy(
            iam.PolicyStatement(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=list(bulk.bulk_kms_keys))
        )


def _arn(place: str) -> str:
    return f"arn:{Aws.PARTITION}:s3:::{place}"


def _acknowledge(scope: Construct, resource: str, reason: str) -> None:
    """Tell cdk-nag that ``resource``, with a wildcard, is meant. It writes references as ids in angle brackets."""
    resolved = Stack.of(scope).resolve(resource)
    parts = [resolved] if isinstance(resolved, str) else resolved["Fn::Join"][1]
    name = "".join(part if isinstance(part, str) else f"<{_id(part)}>" for part in parts)
    Validations.of(scope).acknowledge(Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{name}]", reason=reason))


def _id(reference: dict[str, Any]) -> str:
    return reference["Ref"] if "Ref" in reference else ".".join(reference["Fn::GetAtt"])
