"""The configuration: defaults, what the command line hands over, and what a wrong value is told."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from configuration.configuration import Configuration, read_configuration
from configuration.errors import ConfigurationError
from configuration.options import Compute, ScheduledCapacity
from configuration.settings import PROJECT


def test_cdk_json_lists_every_key_with_its_default() -> None:
    context = json.loads((PROJECT / "cdk.json").read_text())["context"]
    listed = {key: value for key, value in context.items() if "/" not in key and key != "stages"}

    defaults = json.loads(Configuration().model_dump_json(exclude={"stage"}))
    # The deployed model is the default one, at a revision.
    assert listed.pop("model").partition("@")[0] == defaults.pop("model")
    assert listed == defaults


def test_cdk_json_is_valid_in_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"]:
        monkeypatch.setenv("CDK_CONTEXT_JSON", json.dumps({"stage": stage}))
        assert read_configuration().stage == stage


def test_stage_overrides_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_CONTEXT_JSON", json.dumps({"stage": "prod", "log_retention_days": "7"}))

    configuration = read_configuration()

    assert (configuration.dashboard, configuration.alarms, configuration.golden_check) == (True, True, True)
    assert configuration.log_retention_days == 7


def test_command_line_hands_over_strings() -> None:
    configuration = read_configuration(
        {
            "memory_mb": "3008",
            "alarms": "true",
            "budget_monthly_usd": "19.5",
            "alarm_email": "team@example.com",
            "reserved_concurrency": "",
            "principals": "210987654321, o-a1b2c3d4e5",
            "cors_origins": '["https://example.com"]',
            "tags": '{"team": "search"}',
            "provisioned_concurrency": "1",
            "provisioned_concurrency_schedule": '[{"cron": "0 7 ? * MON-FRI *", "capacity": 5}]',
        }
    )

    assert configuration.memory_mb == 3008
    assert configuration.alarms is True
    assert configuration.budget_monthly_usd == 19.5
    assert configuration.reserved_concurrency is None
    assert configuration.principals == ("210987654321", "o-a1b2c3d4e5")
    assert configuration.cors_origins == ("https://example.com",)
    assert configuration.tags == {"team": "search"}
    assert configuration.provisioned_concurrency_schedule == (ScheduledCapacity(cron="0 7 ? * MON-FRI *", capacity=5),)


def test_a_group_has_the_values_of_the_flat_keys() -> None:
    assert read_configuration({"memory_mb": 512}).group(Compute) == Compute(memory_mb=512)


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({"memory_mb": 64}, "memory_mb: 64 is not allowed: input should be greater than or equal to 128"),
        ({"memory": 512}, "memory: is no configuration key; did you mean 'memory_mb'?"),
        ({"memoryMb": 512}, "memoryMb: is no configuration key; did you mean 'memory_mb'?"),
        ({"architecture": "x86"}, "architecture: 'x86' is not allowed: input should be 'x86_64' or 'arm64'"),
        ({"timeout_seconds": 901}, "timeout_seconds: 901 is not allowed: input should be less than or equal to 900"),
        ({"ephemeral_storage_mb": 100}, "ephemeral_storage_mb: 100 is not allowed: input should be greater than"),
        ({"reserved_concurrency": -1}, "reserved_concurrency: -1 is not allowed: input should be greater than"),
        ({"auth": "key"}, "auth: 'key' is not allowed: input should be 'iam', 'api_key' or 'none'"),
        ({"auth": "iam", "api_key_secret_arn": "arn:aws:x"}, "api_key_secret_arn needs auth = api_key; auth is iam"),
        ({"principals": "me"}, "'me' is neither an account id of 12 digits, an ARN, nor an organization"),
        ({"principals": "*"}, "'*' is neither an account id of 12 digits, an ARN, nor an organization"),
        (
            {"log_retention_days": 8},
            "log_retention_days: 8 is not allowed: logs are kept for one of 1, 3, 5, 7, 14, 30",
        ),
        ({"log_format": "json"}, "log_format: 'json' is not allowed: input should be 'JSON' or 'Text'"),
        ({"kms_key": "alias/mine"}, "kms_key: 'alias/mine' is not allowed: it has to be 'create' or the ARN of a key"),
        (
            {"auth": "api_key", "api_key_secret_arn": "mine"},
            "api_key_secret_arn: 'mine' is not allowed: it has to be an ARN",
        ),
        ({"cors_origins": "example.com"}, "'example.com' is no origin; it has to be '*' or like 'https://example.com'"),
        ({"cors_origins": "https://example.com/"}, "without a path"),
        ({"vpc_id": "vpc-1"}, "vpc_id and subnet_ids go together"),
        ({"security_group_ids": "sg-1"}, "security_group_ids needs vpc_id and subnet_ids"),
        ({"ecr_repository": "embeddings"}, "ecr_repository and ecr_image go together"),
        ({"traffic_shifting": "slowly"}, "'all_at_once', 'canary_10_percent_5_minutes'"),
        (
            {"provisioned_concurrency_schedule": "7 o'clock"},
            'provisioned_concurrency_schedule: "7 o\'clock" is not allowed',
        ),
        (
            {"provisioned_concurrency_schedule": '[{"cron": "0 7 * * ? *", "capacity": 1}]'},
            "needs provisioned_concurrency",
        ),
        ({"warm_every_minutes": 0}, "warm_every_minutes: 0 is not allowed: input should be greater than or equal to 1"),
        ({"alarm_email": "me"}, "alarm_email: 'me' is not allowed"),
        ({"budget_monthly_usd": 5}, "budget_monthly_usd needs somebody to tell: alarm_email or alarm_topic_arn"),
        ({"alarm_email": "a@b.c", "alarm_topic_arn": "arn:aws:sns:x"}, "alarm_email and alarm_topic_arn exclude"),
        ({"qualifier": "Not-Lower"}, "qualifier: 'Not-Lower' is not allowed"),
        ({"precision": "best"}, "precision: 'best' is not allowed: input should be 'fast', 'balanced' or 'exact'"),
    ],
)
def test_wrong_value_is_told_what_is_allowed(context: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_configuration(context)

    assert told in str(error.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        read_configuration({"memory": 512, "architecture": "x86", "auth": "key"})

    assert len(str(error.value).splitlines()) == 3


def test_app_ends_with_one_sentence() -> None:
    app = subprocess.run(
        [sys.executable, "app.py"],
        cwd=PROJECT,
        env=os.environ | {"CDK_CONTEXT_JSON": '{"memory_mb": "64"}'},
        capture_output=True,
        text=True,
    )

    assert app.returncode == 1
    assert app.stderr == "error: memory_mb: '64' is not allowed: input should be greater than or equal to 128\n"
