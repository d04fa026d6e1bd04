"""The construct: what it refuses, what a change of it changes, and what it offers to the app around it."""

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

from configuration.errors import ConfigurationError
from configuration.settings import PROJECT
from infra import Access, Compute, EmbeddingService, Logs, Monitoring, Network, Serving, Traffic, WarmUp
from infra.memory import needed_memory_mb
from runtime.engine.manifest import read_manifest

from .conftest import SIZES, properties, resources, write_artifact


@pytest.fixture
def stack(feature_flags: dict[str, Any], tmp_path: Path) -> Stack:
    """An empty stack of an app of its own."""
    return Stack(App(outdir=str(tmp_path / "out"), context=feature_flags), "Stack")


def synthesize(stack: Stack) -> dict[str, Any]:
    """The template of ``stack``."""
    return stack.node.root.synth().get_stack_by_name("Stack").template


def define(stack: Stack, artifact: Path, **options: Any) -> EmbeddingService:
    """A service from the artifact in a context like the fixture's."""
    return EmbeddingService(stack, "Embeddings", artifact=artifact, build_context=artifact.parents[2], **options)


def test_memory_too_small_for_the_model(stack: Stack, small_artifact: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"memory_mb: 128 is too little for intfloat/multilingual-e5-small"):
        define(stack, small_artifact, compute=Compute(memory_mb=128))


def test_memory_estimate_covers_what_was_measured_and_no_more_than_twice(small_artifact: Path) -> None:
    # multilingual-e5-small peaked at 193 MB with texts of 512 tokens, weights mapped, at 494 MB once a text had needed the
    # checkpoint's own tokenizer, and at 548 MB when that text was one of 720,000 characters.
    assert 548 <= needed_memory_mb(read_manifest(small_artifact)) <= 2 * 548


def test_memory_estimate_grows_with_the_model(tmp_path: Path) -> None:
    base = write_artifact(tmp_path / "base", SIZES | {"model.bin": 1_200_000_000})

    assert needed_memory_mb(read_manifest(base)) > 1_200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"traffic": Traffic(provisioned_concurrency=11)},
            "provisioned_concurrency: 11 is more than reserved_concurrency",
        ),
        ({"warm_up": WarmUp(warm_environments=11)}, "warm_environments: 11 is more than reserved_concurrency allows"),
    ],
)
def test_more_environments_than_reserved(
    options: dict[str, Any], told: str, stack: Stack, small_artifact: Path
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        define(stack, small_artifact, **options)


@pytest.mark.parametrize(
    ("serving", "told"),
    [
        (Serving(default_prompt="question"), "default_prompt: 'question' is no prompt of .*; allowed: query, passage"),
        (Serving(window_overlap=510), "window_overlap: 510 leaves no room .*; allowed: 0 to 509"),
    ],
)
def test_what_the_runtime_would_refuse(serving: Serving, told: str, stack: Stack, small_artifact: Path) -> None:
    with pytest.raises(ConfigurationError, match=told):
        define(stack, small_artifact, serving=serving)


def test_no_image(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="artifact: is needed to build an image"):
        EmbeddingService(stack, "Embeddings")


def test_golden_check_needs_the_artifact(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="golden_check: needs the artifact"):
        EmbeddingService(stack, "Embeddings", traffic=Traffic(golden_check=True))


def test_artifact_outside_of_the_build(stack: Stack, small_artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lies outside of the image's build context"):
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
    assert len(versions) == 2, "a version of its own, so that the alias can go back"


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


def test_app_of_ones_own(artifact: Path, tmp_path: Path) -> None:
    example = PROJECT / "examples" / "own_app" / "app.py"

    environment = os.environ | {"PYTHONPATH": str(PROJECT), "CDK_OUTDIR": str(tmp_path)}
    run = subprocess.run([sys.executable, example], env=environment, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    template = json.loads((tmp_path / "Search.template.json").read_text())
    assert properties(template, "AWS::Lambda::Function")[0]["MemorySize"] == 3008
    assert properties(template, "AWS::IAM::Policy", "Indexer")
