"""Bulk jobs: the state machine, and what its roles may do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam

from bulk import errors
from configuration.errors import ConfigurationError
from configuration.groups import Bulk, Image, ServiceOptions
from infra import BulkEmbedding
from infra.bulk import RETRY, WORKER_MB

from .conftest import MEMORY, Template, properties, resources
from .test_policies import statements

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
PLACES = Bulk(bulk_inputs=("corpus",), bulk_outputs=("vectors",))


def arn(place: str) -> dict[str, Any]:
    return {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, f":s3:::{place}"]]}


def definition(template: Template) -> dict[str, Any]:
    """The state machine, with its references as words."""
    (machine,) = properties(template, "AWS::StepFunctions::StateMachine")
    parts = machine["DefinitionString"]["Fn::Join"][1]
    return json.loads("".join(part if isinstance(part, str) else next(iter(part.values())) for part in parts))


@pytest.fixture
def stack(feature_flags: dict[str, Any], tmp_path: Path) -> Stack:
    """An empty stack."""
    return Stack(App(outdir=str(tmp_path / "out"), context=feature_flags), "Stack")


def define(stack: Stack, artifact: Path, options: ServiceOptions) -> BulkEmbedding:
    """Bulk jobs with ``artifact``, which is in a build context like the fixture's."""
    return BulkEmbedding(stack, "Bulk", artifact=artifact, options=options, build_context=artifact.parents[2])


def synthesize(stack: Stack) -> Template:
    return stack.node.root.synth().get_stack_by_name("Stack").template


def test_each_step_may_touch_the_named_places_and_nothing_else(templates: dict[str, Template]) -> None:
    template = templates["bulk"]
    places = {
        "s3:GetObject": [arn("archive/texts/*"), arn("corpus/*")],
        "s3:ListBucket": [arn("corpus"), arn("archive"), arn("vectors")],
    }
    for step in ("Plan", "Embed", "Commit"):
        (role,) = resources(template, "AWS::IAM::Role", f"Bulk{step}Role")
        found = [each for each in statements(template, role) if "s3:" in str(each["Action"])]
        reads = [each for each in found if each["Action"] == "s3:GetObject"]
        assert [each["Resource"] for each in reads] == [places["s3:GetObject"]]
        writes = [each for each in found if "s3:PutObject" in each["Action"]]
        assert [(each["Action"], each["Resource"]) for each in writes] == [
            (["s3:GetObject", "s3:PutObject"], arn("vectors/out/*"))
        ]
        lists = [each for each in found if each["Action"] == "s3:ListBucket"]
        assert sorted((each["Resource"] for each in lists), key=str) == sorted(places["s3:ListBucket"], key=str)
        limits = {str(each["Resource"]): each.get("Condition") for each in lists}
        assert limits[str(arn("corpus"))] is None
        assert limits[str(arn("vectors"))] == {"StringLike": {"s3:prefix": ["out", "out/*"]}}


def test_the_state_machine_may_run_its_steps_and_write_what_became_of_them(templates: dict[str, Template]) -> None:
    template = templates["bulk"]
    (role,) = resources(template, "AWS::IAM::Role", "BulkRole")
    found = {str(each["Action"]): each["Resource"] for each in statements(template, role)}

    aliases = set(resources(template, "AWS::Lambda::Alias", "Bulk"))
    assert {each["Ref"] for each in found.pop("lambda:InvokeFunction")} == aliases and len(aliases) == 3
    assert found.pop(
        str(["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"])
    ) == arn("vectors/out/*_runs/*")
    (machine,) = resources(template, "AWS::StepFunctions::StateMachine")
    assert found.pop("states:StartExecution") == {"Ref": machine}
    executions = found.pop(str(["states:DescribeExecution", "states:StopExecution"]))
    assert all({"Fn::GetAtt": [machine, "Name"]} in each["Fn::Join"][1] for each in executions)
    assert not found


def test_errors_that_a_person_mends_are_not_tried_again() -> None:
    classes = {each.__name__ for each in errors.BulkError.__subclasses__()}

    assert set(RETRY[0]["ErrorEquals"]) == classes and RETRY[0]["MaxAttempts"] == 0


def test_the_steps_are_the_handlers_of_the_image(templates: dict[str, Template]) -> None:
    from bulk import handlers

    functions = properties(templates["bulk"], "AWS::Lambda::Function", "Bulk")
    commands = [function["ImageConfig"]["Command"][0] for function in functions]

    assert sorted(commands) == ["bulk.handlers.commit", "bulk.handlers.embed", "bulk.handlers.plan"]
    assert all(hasattr(handlers, command.rpartition(".")[2]) for command in commands)
    assert {function["Timeout"] for function in functions} == {900}
    assert sorted(function.get("ReservedConcurrentExecutions", 0) for function in functions) == [0, 0, 100]
    assert [image.get("dockerBuildTarget") for image in templates["bulk"]["Images"]].count("bulk") == 1


def test_cfn_lint_accepts_the_language_of_the_state_machine(templates: dict[str, Template], tmp_path: Path) -> None:
    """It looks into a definition without references only, so the template of the stack does not tell."""

    def lint(definition: dict[str, Any]) -> str:
        role = "arn:aws:iam::123456789012:role/any"
        machine = {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"RoleArn": role, "Definition": definition},
        }
        path = tmp_path / "template.json"
        path.write_text(json.dumps({"Resources": {"Machine": machine}}))
        return subprocess.run([CFN_LINT, path], capture_output=True, text=True).stdout

    found = json.loads(json.dumps(definition(templates["bulk"])).replace("AWS::Partition", "aws"))
    assert lint(found) == ""
    found["States"]["Embed"]["ToleratedFailures"] = 100
    assert "ToleratedFailures" in lint(found)


def test_the_map_takes_its_concurrency_from_the_job_and_tolerates_failures(templates: dict[str, Template]) -> None:
    state = definition(templates["bulk"])["States"]["Embed"]

    assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert (state["MaxConcurrencyPath"], state["ToleratedFailurePercentage"]) == ("$.concurrency", 100)


def test_a_role_that_may_start_jobs_can_do_nothing_else(stack: Stack, small_artifact: Path) -> None:
    bulk = define(stack, small_artifact, ServiceOptions(bulk=PLACES))
    role = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    bulk.grant_start(role)
    template = synthesize(stack)

    (name,) = resources(template, "AWS::IAM::Role", "Caller")
    actions = {action for each in statements(template, name) for action in _list(each["Action"])}
    assert {"states:DescribeMapRun", "states:ListMapRuns", "lambda:GetAccountSettings"} <= actions
    services = {action.partition(":")[0] for action in actions}
    assert services == {"lambda", "states"}


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_too_little_memory_for_the_model_and_a_worker(stack: Stack, small_artifact: Path) -> None:
    bulk = PLACES.model_copy(update={"bulk_memory_mb": 1000})
    needed = 603 + WORKER_MB
    assert MEMORY.worst_text_mb == 548
    with pytest.raises(ConfigurationError, match=rf"bulk_memory_mb: 1000 is too little for .* needs {needed} MiB"):
        define(stack, small_artifact, ServiceOptions(bulk=bulk))


def test_jobs_do_not_run_in_an_existing_image(stack: Stack) -> None:
    options = ServiceOptions(bulk=PLACES, image=Image(image="embeddings:v1"))
    with pytest.raises(ConfigurationError, match=r"bulk_outputs: .* names an existing one \(embeddings:v1\)"):
        BulkEmbedding(stack, "Bulk", options=options)


def test_a_model_without_vectors_is_refused(stack: Stack, build_context: Path, tmp_path: Path) -> None:
    artifact = shutil.copytree(build_context, tmp_path / "context") / "build" / "model" / "small"
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps(manifest | {"task": "classify"}))
    with pytest.raises(ConfigurationError, match="gives no vectors for bulk jobs: its task is classify"):
        define(stack, artifact, ServiceOptions(bulk=PLACES))


def test_places_are_needed(stack: Stack, small_artifact: Path) -> None:
    with pytest.raises(ConfigurationError, match="bulk_outputs: is needed"):
        define(stack, small_artifact, ServiceOptions())


def test_another_alarm_and_another_row_of_the_dashboard(templates: dict[str, Template]) -> None:
    template = templates["bulk-watched"]

    (alarm,) = properties(template, "AWS::CloudWatch::Alarm", "BulkFailedJobs")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/States", "ExecutionsFailed")
    assert alarm["AlarmActions"] == [{"Ref": name} for name in resources(template, "AWS::SNS::Topic")]
    assert "Splits of bulk jobs" in json.dumps(properties(template, "AWS::CloudWatch::Dashboard"))
