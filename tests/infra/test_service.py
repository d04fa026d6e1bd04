"""The constructs: what they refuse, what a change of an option changes, and their use in another app."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns

from configuration import PROJECT
from configuration.errors import ConfigurationError
from configuration.groups import Access, Compute, Image, Logs, Monitoring, Network, ServiceOptions, Serving, Traffic
from infra import EmbeddingService, ModelFunction

from .conftest import properties, resources, write_artifact


@pytest.fixture
def stack(feature_flags: dict[str, Any], tmp_path: Path) -> Stack:
    """An empty stack."""
    return Stack(App(outdir=str(tmp_path / "out"), context=feature_flags), "Stack")


def synthesize(stack: Stack) -> dict[str, Any]:
    """The template of ``stack``."""
    return stack.node.root.synth().get_stack_by_name("Stack").template


def define(stack: Stack, artifact: Path, **groups: Any) -> EmbeddingService:
    """A service with ``artifact``, which is in a build context like the fixture's."""
    options = ServiceOptions(**groups)
    return EmbeddingService(stack, "Embeddings", artifact=artifact, options=options, build_context=artifact.parents[2])


def test_no_environment_left_for_a_new_version(stack: Stack, small_artifact: Path) -> None:
    compute = Compute(reserved_concurrency=10)
    with pytest.raises(ConfigurationError, match=r"provisioned_concurrency: 10 leaves nothing .* Allowed: 0 to 9"):
        define(stack, small_artifact, compute=compute, traffic=Traffic(provisioned_concurrency=10, golden_check=True))


def test_unreserved_concurrency_limits_no_environments(stack: Stack, small_artifact: Path) -> None:
    compute = Compute(reserved_concurrency="unreserved")
    traffic = Traffic(provisioned_concurrency=11, golden_check=True)
    define(stack, small_artifact, compute=compute, traffic=traffic)


def test_provisioned_environments_need_the_golden_check(stack: Stack, small_artifact: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"provisioned_concurrency: 1 needs golden_check: .* Allowed: 0, or"):
        define(stack, small_artifact, traffic=Traffic(provisioned_concurrency=1))


def test_a_function_that_is_switched_off_cannot_be_checked(stack: Stack, small_artifact: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"golden_check: reserved_concurrency is 0.* Allowed: false"):
        define(stack, small_artifact, compute=Compute(reserved_concurrency=0), traffic=Traffic(golden_check=True))


def test_a_prompt_that_the_runtime_would_refuse(stack: Stack, small_artifact: Path) -> None:
    told = r"default_prompt: 'question' is not a prompt of .*\. Allowed: query, passage"
    with pytest.raises(ConfigurationError, match=told):
        define(stack, small_artifact, serving=Serving(default_prompt="question"))


def test_too_little_memory(stack: Stack, small_artifact: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"memory_mb: 128 is too little for intfloat/multilingual-e5-small"):
        define(stack, small_artifact, compute=Compute(memory_mb=128))


def test_no_image(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="artifact: is needed to build an image"):
        EmbeddingService(stack, "Embeddings")


def test_golden_check_of_an_existing_image(stack: Stack) -> None:
    """The image has the golden vectors, so a digest that is promoted from another account is checked, too."""
    options = ServiceOptions(image=Image(image="embeddings:v1"), traffic=Traffic(golden_check=True))
    EmbeddingService(stack, "Embeddings", options=options)

    assert resources(synthesize(stack), "Custom::GoldenCheck")


def test_artifact_outside_of_the_build(stack: Stack, small_artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is outside of the image's build context"):
        EmbeddingService(stack, "Embeddings", artifact=small_artifact, build_context=tmp_path)


def test_changing_memory_keeps_the_function(
    feature_flags: dict[str, Any], small_artifact: Path, tmp_path: Path
) -> None:
    before, after = (
        synthesized(feature_flags, small_artifact, tmp_path / str(memory_mb), compute=Compute(memory_mb=memory_mb))
        for memory_mb in (1024, 2048)
    )

    changed = {name for name in before | after if before.get(name) != after.get(name)}
    (function,) = resources({"Resources": before}, "AWS::Lambda::Function")
    versions = {name for name in changed if "CurrentVersion" in name}
    assert changed == {function, "EmbeddingsLive8C55E27E", *versions}
    assert len(versions) == 2, "each deployment publishes a version, so that the alias can go back"


def test_changing_the_model_publishes_a_version_and_keeps_the_rest(
    feature_flags: dict[str, Any], build_context: Path, tmp_path: Path
) -> None:
    context = shutil.copytree(build_context, tmp_path / "context")
    artifact = context / "build" / "model" / "small"
    before = synthesized(feature_flags, artifact, tmp_path / "before")
    (artifact / "model.bin").write_bytes(b"other weights")
    after = synthesized(feature_flags, artifact, tmp_path / "after")

    changed = {re.sub("[0-9a-f]{32}$", "", name) for name in before | after if before.get(name) != after.get(name)}
    assert changed == {
        "EmbeddingsFunction9B0F5F82",
        "EmbeddingsFunctionCurrentVersion1754610E",
        "EmbeddingsLive8C55E27E",
    }


def test_image_changes_with_runtime_and_artifact_only(
    feature_flags: dict[str, Any], build_context: Path, tmp_path: Path
) -> None:
    context = shutil.copytree(build_context, tmp_path / "context")
    artifact = context / "build" / "model" / "small"
    before = synthesized(feature_flags, artifact, tmp_path / "before")
    write_artifact(context / "build" / "model" / "another")
    (context / "README.md").write_text("Changed.")
    (context / "runtime" / "__pycache__").mkdir()
    (context / "runtime" / "__pycache__" / "handler.pyc").write_text("Changed.")

    assert synthesized(feature_flags, artifact, tmp_path / "after") == before


def synthesized(feature_flags: dict[str, Any], artifact: Path, out: Path, **options: Any) -> dict[str, Any]:
    """The resources of a stack with one service."""
    stack = Stack(App(outdir=str(out), context=feature_flags), "Stack")
    define(stack, artifact, **options)
    return synthesize(stack)["Resources"]


def test_grant_invoke_is_all_that_a_role_needs(stack: Stack, small_artifact: Path) -> None:
    service = define(stack, small_artifact)
    caller = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))

    service.grant_invoke(caller)

    (policy,) = properties(synthesize(stack), "AWS::IAM::Policy", "Caller")
    alias = {"Ref": "EmbeddingsLive8C55E27E"}
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunctionUrl",
            "Resource": alias,
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
        },
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": alias,
            "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": True}},
        },
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": alias},
    ]


def test_attributes(stack: Stack, small_artifact: Path) -> None:
    service = define(stack, small_artifact, access=Access(auth="api_key"), monitoring=Monitoring(alarms=True))

    assert stack.resolve(service.url) == {"Fn::GetAtt": ["EmbeddingsLiveFunctionUrl8D7414F3", "FunctionUrl"]}
    assert stack.resolve(service.log_group.log_group_name) == {"Ref": "EmbeddingsLogs6D21C861"}
    assert stack.resolve(service.api_key.secret_arn) == {"Ref": "EmbeddingsApiKey1D236F04"}
    assert set(service.alarms) == {"errors", "throttles", "p99_duration", "memory", "spend"}
    assert service.alarm_topic is None


def test_takes_what_another_construct_made(stack: Stack, small_artifact: Path) -> None:
    key, vpc, topic = kms.Key(stack, "Key"), ec2.Vpc(stack, "Vpc"), sns.Topic(stack, "Topic")
    secret = secretsmanager.Secret(stack, "Secret")

    define(
        stack,
        small_artifact,
        access=Access(auth="api_key", api_key_secret_arn=secret.secret_arn),
        logs=Logs(kms_key=key.key_arn),
        network=Network(vpc_id=vpc.vpc_id, subnet_ids=[subnet.subnet_id for subnet in vpc.private_subnets]),
        monitoring=Monitoring(alarms=True, alarm_topic_arn=topic.topic_arn),
    )

    template = synthesize(stack)
    (function,) = properties(template, "AWS::Lambda::Function", "EmbeddingsFunction")
    assert function["Environment"]["Variables"]["EMBEDDINGS_API_KEY_SECRET_ARN"] == stack.resolve(secret.secret_arn)
    assert function["KmsKeyArn"] == stack.resolve(key.key_arn)
    assert function["VpcConfig"]["SubnetIds"] == stack.resolve([subnet.subnet_id for subnet in vpc.private_subnets])


def test_a_second_function_runs_another_command_of_the_same_image(stack: Stack, small_artifact: Path) -> None:
    service = define(stack, small_artifact)
    bulk = ModelFunction(
        stack,
        "Bulk",
        artifact=small_artifact,
        command=["runtime.aws.bulk.handler"],
        options=ServiceOptions(
            compute=Compute(memory_mb=3008, timeout_seconds=900), serving=Serving(long_texts="truncate")
        ),
        description="Embeds files",
        build_context=small_artifact.parents[2],
    )

    template = synthesize(stack)
    (function,) = properties(template, "AWS::Lambda::Function", "BulkFunction")
    (other,) = properties(template, "AWS::Lambda::Function", "EmbeddingsFunction")
    assert function["ImageConfig"] == {"Command": ["runtime.aws.bulk.handler"]}
    assert "ImageConfig" not in other
    assert function["Code"] == other["Code"]
    assert (function["MemorySize"], function["Timeout"], function["Description"]) == (3008, 900, "Embeds files")
    assert function["Environment"]["Variables"] == {"EMBEDDINGS_LONG_TEXTS": "truncate"}
    # It has its own role, which writes its own logs, and its own alias; and no URL.
    assert function["Role"] != other["Role"]
    (policy,) = properties(template, "AWS::IAM::Policy", "Bulk")
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": [stack.get_logical_id(bulk.log_group.node.default_child), "Arn"]},
        }
    ]
    assert len(resources(template, "AWS::Lambda::Alias")) == len(resources(template, "AWS::Logs::LogGroup")) == 2
    assert len(resources(template, "AWS::Lambda::Url")) == 1
    names = [stack.resolve(each.metrics.requests().dimensions["FunctionName"])["Ref"] for each in (service, bulk)]
    assert names == list(resources(template, "AWS::Lambda::Function"))


def test_a_second_function_leaves_the_service_as_it_is(
    feature_flags: dict[str, Any], small_artifact: Path, tmp_path: Path
) -> None:
    alone = synthesized(feature_flags, small_artifact, tmp_path / "alone")
    stack = Stack(App(outdir=str(tmp_path / "both"), context=feature_flags), "Stack")
    define(stack, small_artifact)
    ModelFunction(stack, "Bulk", artifact=small_artifact, build_context=small_artifact.parents[2])

    both = synthesize(stack)["Resources"]

    assert {name: both[name] for name in alone} == alone
    assert all(name.startswith("Bulk") for name in set(both) - set(alone))


def test_a_function_with_another_image(stack: Stack) -> None:
    options = ServiceOptions(image=Image(image="rerankers:v1"))
    ModelFunction(stack, "Reranker", options=options, command=["app.handler"])

    (function,) = properties(synthesize(stack), "AWS::Lambda::Function", "Reranker")
    assert "/rerankers:v1" in json.dumps(function["Code"])
    assert function["ImageConfig"] == {"Command": ["app.handler"]}


def run_example(name: str, artifact: Path, out: Path) -> dict[str, Any]:
    """Synthesize an example, with ``artifact`` in place of the one that was last made on this machine. Returns its templates
    and its manifest by the names of their files."""
    example = PROJECT / "examples" / name / "app.py"
    command = (
        "import pathlib, runpy; import model_export.artifact; "
        f"model_export.artifact.LATEST = pathlib.Path({str(artifact)!r}); runpy.run_path({str(example)!r})"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "CDK_OUTDIR": str(out)}
    run = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {path.name: json.loads(path.read_text()) for path in out.glob("*.json")}


def test_example_of_another_app(artifact: Path, tmp_path: Path) -> None:
    template = run_example("own_app", artifact, tmp_path)["Search.template.json"]

    assert properties(template, "AWS::Lambda::Function")[0]["MemorySize"] == 3008
    assert properties(template, "AWS::IAM::Policy", "Indexer")


def test_example_of_two_stages_in_two_accounts_and_regions(artifact: Path, tmp_path: Path) -> None:
    files = run_example("stages", artifact, tmp_path)

    stacks = {
        name: entry
        for name, entry in files["manifest.json"]["artifacts"].items()
        if name in ("Search-dev", "Search-prod")
    }
    assert {name: entry["environment"] for name, entry in stacks.items()} == {
        "Search-dev": "aws://111111111111/eu-central-1",
        "Search-prod": "aws://222222222222/us-east-1",
    }
    assert stacks["Search-prod"]["properties"]["terminationProtection"]
    (dev,), (prod,) = (files[f"{name}.assets.json"]["dockerImages"].values() for name in ("Search-dev", "Search-prod"))
    assert dev["source"] == prod["source"], "both stages run the same image"
    assert resources(files["Search-prod.template.json"], "Custom::GoldenCheck")
