"""Reading the configuration: its layers, values that are unset, strings from the command line, and error messages."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configuration import PROJECT, context
from configuration.context import parse_configuration, read_configuration
from configuration.errors import ConfigurationError
from configuration.groups import GROUPS, KEYS, Compute, Configuration

EVERY_KEY = {
    "model": "embedded",
    "precision": "exact",
    "max_tokens": 128,
    "prompts": {"query": "q: "},
    "default_prompt": "query",
    "long_texts": "window",
    "max_tokens_per_request": 4096,
    "served_model_names": ["e5"],
    "architecture": "arm64",
    "memory_mb": 3008,
    "timeout_seconds": 120,
    "reserved_concurrency": 2,
    "keep_active": False,
    "base_image": "registry.example.com/python:3.13",
    "pip_conf": "/etc/pip.conf",
    "ca_bundle": "/etc/ssl/certs/ca-certificates.crt",
    "image": "embeddings:v1",
    "endpoint": "none",
    "auth": "api_key",
    "principals": ["210987654321"],
    "api_key_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf",
    "cors_origins": ["https://example.com"],
    "requests_per_address": 100,
    "domain_name": "embeddings.example.com",
    "certificate_arn": "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555",
    "log_level": "WARNING",
    "log_caller": True,
    "log_retention_days": 365,
    "kms_key": "create",
    "retain": True,
    "vpc_id": "vpc-1",
    "subnet_ids": ["subnet-1"],
    "security_group_ids": ["sg-1"],
    "traffic_shifting": "canary_10_percent_5_minutes",
    "golden_check": True,
    "provisioned_concurrency": 1,
    "dashboard": True,
    "alarms": True,
    "alarm_email": "team@example.com",
    "alarm_topic_arn": "arn:aws:sns:eu-central-1:123456789012:alarms",
    "alarm_p99_ms": 800,
    "bulk_inputs": ["corpus/texts"],
    "bulk_outputs": ["vectors"],
    "bulk_kms_keys": ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"],
    "bulk_concurrency": 20,
    "bulk_reserve": False,
    "bulk_split_seconds": 60,
    "bulk_memory_mb": 3008,
    "alarm_monthly_usd": 5,
    "tracing": True,
    "stage": "blue",
    "stack_name": "Search",
    "tags": {"team": "search"},
    "termination_protection": True,
    "ssm_prefix": "/search/embeddings",
    "permissions_boundary": "developers",
    "qualifier": "search",
}
"""A value other than the default for every key."""


@pytest.fixture
def cdk_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a file with the given context in place of cdk.json."""

    def write(values: dict[str, Any]) -> None:
        file = tmp_path / "cdk.json"
        file.write_text(json.dumps({"context": values}))
        monkeypatch.setattr(context, "FILE", file)

    monkeypatch.delenv("CDK_CONTEXT_JSON", raising=False)
    return write


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch):
    """Pass values as the CDK CLI does: merged with the context of the file."""

    def pass_on(**values: Any) -> None:
        file = json.loads(context.FILE.read_text())["context"]
        monkeypatch.setenv("CDK_CONTEXT_JSON", json.dumps(file | values))

    return pass_on


def committed() -> dict[str, Any]:
    """The context of the project's cdk.json."""
    return json.loads((PROJECT / "cdk.json").read_text())["context"]


def message(values: dict[str, Any]) -> str:
    """The message of the error that ``values`` cause."""
    with pytest.raises(ConfigurationError) as error:
        parse_configuration(values)
    return str(error.value)


def test_each_key_belongs_to_one_group() -> None:
    keys = [key for group in GROUPS.values() for key in group.model_fields]

    assert len(keys) == len(set(keys))
    assert set(EVERY_KEY) == KEYS


def test_cdk_json_lists_every_key_with_its_default() -> None:
    listed = {key: value for key, value in committed().items() if "/" not in key}
    assert (listed.pop("cli-telemetry"), set(listed.pop("stages"))) == (False, {"dev", "prod"})
    groups = json.loads(Configuration().model_dump_json()).values()

    assert listed == {key: value for group in groups for key, value in group.items() if key != "stage"}


def test_cdk_json_is_valid_in_every_stage(command_line) -> None:
    for stage in committed()["stages"]:
        command_line(stage=stage)
        assert read_configuration().deployment.stage == stage


def test_the_command_line_wins_over_the_stage_and_that_over_the_file(cdk_json, command_line) -> None:
    stages = {"prod": {"memory_mb": 2048, "timeout_seconds": 90}}
    cdk_json({"memory_mb": 1024, "timeout_seconds": 30, "log_retention_days": 7, "stages": stages})
    command_line(stage="prod", memory_mb="4096")

    configuration = read_configuration()

    assert configuration.compute == Compute(memory_mb=4096, timeout_seconds=90)
    assert configuration.logs.log_retention_days == 7
    assert configuration.deployment.stage == "prod"


@pytest.mark.parametrize("unset", [None, ""])
@pytest.mark.parametrize("key", sorted(KEYS))
def test_unset_in_the_file_means_left_out(key: str, unset: str | None, cdk_json) -> None:
    cdk_json({key: unset})

    assert read_configuration() == Configuration()


@pytest.mark.parametrize("unset", [None, ""])
@pytest.mark.parametrize("key", sorted(KEYS - {"stage"}))
def test_unset_in_a_stage_or_on_the_command_line_means_left_out(
    key: str, unset: str | None, cdk_json, command_line
) -> None:
    # Keys that are only allowed together with another key come with it.
    companions = {
        "api_key_secret_arn": {"auth"},
        "vpc_id": {"subnet_ids"},
        "subnet_ids": {"vpc_id"},
        "domain_name": {"certificate_arn"},
        "certificate_arn": {"domain_name"},
        "security_group_ids": {"vpc_id", "subnet_ids"},
        "bulk_inputs": {"bulk_outputs"},
        "bulk_outputs": {"bulk_inputs"},
    }
    values = {name: EVERY_KEY[name] for name in {key} | companions.get(key, set())}
    cdk_json(values | {"stages": {"blue": {key: unset}}})
    command_line(stage="blue")
    in_stage = read_configuration()
    cdk_json(values | {"stages": {"blue": {}}})
    command_line(stage="blue")
    left_out, by_override = read_configuration(), read_configuration({key: unset})
    command_line(stage="blue", **{key: unset})
    on_command_line = read_configuration()

    assert in_stage == on_command_line == by_override == left_out
    assert left_out != parse_configuration({"stage": "blue"}), "the value has no effect"


@pytest.mark.parametrize("unset", [None, ""])
@pytest.mark.parametrize("group", GROUPS.values())
def test_unset_in_a_group_means_left_out(group: type, unset: str | None) -> None:
    assert group(**dict.fromkeys(group.model_fields, unset)) == group()


def test_a_key_need_not_be_in_the_file(cdk_json, command_line) -> None:
    cdk_json({"memory_mb": 1024})
    assert read_configuration({"model": "embedded"}).model.model == "embedded"

    command_line(model="embedded")
    assert read_configuration().model.model == "embedded"


def test_an_empty_context_gives_the_defaults(cdk_json) -> None:
    cdk_json({})

    assert read_configuration() == Configuration()


@pytest.mark.parametrize("place", ["file", "stage", "command line", "override"])
def test_a_misspelt_key_is_refused_with_the_nearest_one(place: str, cdk_json, command_line) -> None:
    misspelt = {"modell": "embedded"}
    cdk_json({"stages": {"prod": misspelt if place == "stage" else {}}} | (misspelt if place == "file" else {}))
    command_line(stage="prod", **(misspelt if place == "command line" else {}))

    with pytest.raises(ConfigurationError, match="modell: is not a configuration key; did you mean 'model'"):
        read_configuration(misspelt if place == "override" else None)


def test_keys_of_the_cdk_are_left_to_it(cdk_json, command_line) -> None:
    cdk_json({"@aws-cdk/core:stackRelativeExports": True})
    command_line(**{"aws:cdk:enable-path-metadata": True, "availability-zones:account=1:region=x": ["x1"]})

    assert read_configuration() == Configuration()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"stage": "prdo", "stages": {"prod": {}}}, "stage: 'prdo' is not defined; cdk.json has prod"),
        ({"stage": "prod"}, "stage: 'prod' is not defined; cdk.json has none"),
        ({"stages": "prod"}, "stages: 'prod' is not allowed: it has to be overrides by the name of a stage"),
        ({"stages": {"prod": 1}}, "stages: {'prod': 1} is not allowed"),
        ({"stage": "a", "stages": {"a": {"stage": "b"}}}, "stages.a: stage cannot be set inside of a stage"),
    ],
)
def test_a_wrong_stage(values: dict[str, Any], told: str, cdk_json) -> None:
    cdk_json(values)

    with pytest.raises(ConfigurationError) as error:
        read_configuration()

    assert told in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "FILE", tmp_path / "cdk.json")
    with pytest.raises(ConfigurationError, match=r"cdk\.json: cannot be read as a CDK configuration"):
        read_configuration()


def test_the_command_line_passes_strings() -> None:
    configuration = parse_configuration(
        {
            "memory_mb": "3008",
            "alarms": "true",
            "alarm_monthly_usd": "19.5",
            "reserved_concurrency": "3",
            "principals": "210987654321, o-a1b2c3d4e5",
            "cors_origins": '["https://example.com"]',
            "tags": '{"team": "search"}',
            "prompts": '{"query": "q: "}',
        }
    )

    assert configuration.compute.memory_mb == 3008
    assert configuration.monitoring.alarms is True
    assert configuration.monitoring.alarm_monthly_usd == 19.5
    assert configuration.compute.reserved_concurrency == 3
    assert configuration.access.principals == ("210987654321", "o-a1b2c3d4e5")
    assert configuration.access.cors_origins == ("https://example.com",)
    assert configuration.deployment.tags == {"team": "search"}
    assert configuration.model.prompts == {"query": "q: "}


def test_no_reservation_has_a_word() -> None:
    assert parse_configuration({"reserved_concurrency": "0"}).reservation == 0
    assert parse_configuration({"reserved_concurrency": "unreserved", "auth": "none"}).reservation is None


@pytest.mark.parametrize(("auth", "reservation"), [("iam", None), ("api_key", 10), ("none", 10)])
def test_only_what_the_internet_reaches_is_bounded_by_default(auth: str, reservation: int | None) -> None:
    assert parse_configuration({"auth": auth}).reservation == reservation
    assert parse_configuration({"auth": auth, "reserved_concurrency": 3}).reservation == 3


@pytest.mark.parametrize(
    ("image", "repository", "digest_or_tag"),
    [
        ("embeddings:v1.2_3", "embeddings", "v1.2_3"),
        ("team/embeddings@sha256:" + "0f" * 32, "team/embeddings", "sha256:" + "0f" * 32),
        ("${Token[TOKEN.12]}:latest", "${Token[TOKEN.12]}", "latest"),
    ],
)
def test_an_image_is_a_repository_and_a_digest_or_tag(image: str, repository: str, digest_or_tag: str) -> None:
    parsed = parse_configuration({"image": image}).image

    assert (parsed.repository, parsed.digest_or_tag) == (repository, digest_or_tag)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"memory_mb": 64}, "memory_mb: 64 is not allowed: input should be greater than or equal to 128"),
        ({"memory": 512}, "memory: is not a configuration key; did you mean 'memory_mb'?"),
        ({"memoryMb": 512}, "memoryMb: is not a configuration key; did you mean 'memory_mb'?"),
        ({"architecture": "x86"}, "architecture: 'x86' is not allowed: input should be 'x86_64' or 'arm64'"),
        ({"timeout_seconds": 901}, "timeout_seconds: 901 is not allowed: input should be less than or equal to 900"),
        (
            {"reserved_concurrency": -1},
            "reserved_concurrency: -1 is not allowed: it has to be a whole number of at least 0, or 'unreserved'",
        ),
        ({"reserved_concurrency": "none"}, "reserved_concurrency: 'none' is not allowed: it has to be a whole number"),
        ({"auth": "key"}, "auth: 'key' is not allowed: input should be 'iam', 'api_key' or 'none'"),
        (
            {"auth": "iam", "api_key_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf"},
            "api_key_secret_arn needs auth = api_key; auth is iam",
        ),
        (
            {"auth": "api_key", "api_key_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key"},
            "it has to be complete: it ends with a hyphen and six characters",
        ),
        ({"endpoint": "none", "auth": "none"}, "endpoint = none goes with auth = iam"),
        ({"endpoint": "api_gateway", "cors_origins": "*"}, "cors_origins needs endpoint = function_url"),
        ({"domain_name": "embeddings.example.com"}, "domain_name and certificate_arn go together"),
        ({"ssm_prefix": "search"}, "ssm_prefix: 'search' is not allowed: it has to be a path such as"),
        ({"ssm_prefix": "/search/"}, "ssm_prefix: '/search/' is not allowed: it has to be a path such as"),
        ({"ssm_prefix": "/aws/search"}, "ssm_prefix: '/aws/search' is not allowed: it has to be a path such as"),
        ({"principals": "me"}, "'me' is neither an account id of 12 digits, an ARN, nor an organization"),
        ({"principals": "*"}, "'*' is neither an account id of 12 digits, an ARN, nor an organization"),
        (
            {"log_retention_days": 8},
            "log_retention_days: 8 is not allowed: logs are kept for one of 1, 3, 5, 7, 14, 30",
        ),
        ({"kms_key": "alias/mine"}, "kms_key: 'alias/mine' is not allowed: it has to be 'create' or the ARN of a key"),
        (
            {"auth": "api_key", "api_key_secret_arn": "mine"},
            "api_key_secret_arn: 'mine' is not allowed: it has to be an ARN",
        ),
        ({"cors_origins": "example.com"}, "'example.com' is not an origin; it has to be '*' or like 'https://exam"),
        ({"cors_origins": "https://example.com/"}, "without a path"),
        ({"served_model_names": '["a,b"]'}, "'a,b' is not a name; it has to have a character, and no comma"),
        ({"vpc_id": "vpc-1"}, "vpc_id and subnet_ids go together"),
        ({"security_group_ids": "sg-1"}, "security_group_ids needs vpc_id and subnet_ids"),
        ({"image": "embeddings"}, "image: 'embeddings' is not allowed: it has to be 'name@sha256:…' (a digest of 64"),
        ({"image": "embeddings@sha256:abc"}, "it has to be 'name@sha256:…' (a digest of 64 hexadecimal digits) or"),
        ({"image": "Embeddings:v1"}, "it has to be 'name@sha256:…'"),
        ({"image": "embeddings:v1:v2"}, "it has to be 'name@sha256:…'"),
        (
            {"image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/embeddings:v1"},
            "it has to be without the registry",
        ),
        ({"traffic_shifting": "slowly"}, "'all_at_once', 'canary_10_percent_5_minutes'"),
        ({"traffic_shifting": "canary_10_percent_30_minutes"}, "traffic_shifting: 'canary_10_percent_30_minutes' is"),
        ({"alarm_email": "me"}, "alarm_email: 'me' is not allowed"),
        ({"bulk_inputs": "s3://corpus", "bulk_outputs": "v"}, "'s3://corpus' is neither a bucket nor a bucket and"),
        ({"bulk_outputs": "vectors"}, "bulk_inputs and bulk_outputs go together"),
        ({"bulk_split_seconds": 900}, "bulk_split_seconds: 900 is not allowed"),
        ({"alarm_email": "a@b.c", "alarm_topic_arn": "arn:aws:sns:x"}, "alarm_email and alarm_topic_arn exclude"),
        ({"qualifier": "Not-Lower"}, "qualifier: 'Not-Lower' is not allowed"),
        ({"tags": "team"}, "tags: 'team' is not allowed: it is not JSON"),
        ({"tags": '{"team": 1}'}, "tags.team: 1 is not allowed: input should be a valid string"),
        ({"precision": "int4"}, "precision: 'int4' is not allowed: input should be 'fast', 'balanced' or 'exact'"),
        ({"precison": "fast"}, "precison: is not a configuration key; did you mean 'precision'?"),
        ({"max_tokens": "4"}, "max_tokens: '4' is not allowed: input should be greater than or equal to 8"),
        ({"prompts": "query"}, "prompts: 'query' is not allowed: it is not JSON"),
        ({"model": "org/name@"}, "model: 'org/name@' is not allowed: a revision has to follow '@'"),
    ],
)
def test_a_wrong_value_names_the_key_the_value_and_what_is_allowed(values: dict[str, Any], told: str) -> None:
    assert told in message(values)


@pytest.mark.parametrize("key", ["revision", "ecr_image", "warm_environments", "budget_monthly_usd", "threads"])
def test_an_option_that_was_removed_is_refused(key: str) -> None:
    assert message({key: "1"}).startswith(f"{key}: is not a configuration key")


def test_every_mistake_is_reported_at_once() -> None:
    lines = message({"memory": 512, "architecture": "x86", "auth": "key", "vpc_id": "vpc-1", "precision": "best"})

    assert sorted(line.partition(" ")[0] for line in lines.splitlines()) == [
        "architecture:",
        "auth:",
        "memory:",
        "precision:",
        "vpc_id",
    ]


@pytest.mark.parametrize("command", [["app.py"], ["-m", "model_export"]])
def test_a_command_ends_with_one_sentence(command: list[str]) -> None:
    environment = os.environ | {"CDK_CONTEXT_JSON": '{"memory_mb": "64"}'}
    run = subprocess.run([sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True)

    assert run.returncode == 1
    assert run.stderr == "error: memory_mb: '64' is not allowed: input should be greater than or equal to 128\n"
