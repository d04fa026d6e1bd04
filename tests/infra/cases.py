"""The configurations that the templates are checked in: one for each option, and some together."""

import json
from typing import Any

from configuration.settings import PROJECT

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "arm64": {"architecture": "arm64"},
    "size": {"memory_mb": 3008, "timeout_seconds": 120, "ephemeral_storage_mb": 1024, "reserved_concurrency": 2},
    "unreserved": {"reserved_concurrency": None},
    "serving": {
        "default_prompt": "query",
        "long_texts": "window",
        "window_overlap": 32,
        "max_texts_per_request": 16,
        "max_tokens_per_request": 4096,
        "max_body_bytes": 65536,
        "served_model_name": "e5",
        "threads": 1,
    },
    "build": {
        "base_image": "registry.example.com/python:3.13",
        "pip_conf": "/etc/pip.conf",
        "ca_bundle": "/etc/ssl/certs/ca-certificates.crt",
    },
    "existing-image": {"ecr_repository": "embeddings", "ecr_image": "sha256:" + "a" * 64},
    "principals": {"principals": ["210987654321", "arn:aws:iam::210987654321:role/caller", "o-a1b2c3d4e5"]},
    "api-key": {"auth": "api_key", "api_key_refresh_seconds": 60, "cors_origins": ["https://example.com"]},
    "api-key-brought": {
        "auth": "api_key",
        "api_key_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf",
    },
    "public": {"auth": "none"},
    "logs": {"log_format": "Text", "log_level": "WARNING", "log_retention_days": 365},
    "retain": {"retain": True, "auth": "api_key", "kms_key": "create"},
    "key": {"kms_key": "create", "auth": "api_key"},
    "key-brought": {"kms_key": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"},
    "vpc": {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]},
    "vpc-groups": {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]},
    "provisioned": {"provisioned_concurrency": 2},
    "provisioned-schedule": {
        "provisioned_concurrency": 1,
        "provisioned_concurrency_schedule": [
            {"cron": "0 7 ? * MON-FRI *", "capacity": 5},
            {"cron": "0 19 ? * MON-FRI *", "capacity": 1},
        ],
    },
    "canary": {"traffic_shifting": "canary_10_percent_5_minutes"},
    "golden-check": {"golden_check": True},
    "warm": {"warm_environments": 7, "warm_every_minutes": 4},
    "watched": {"alarms": True, "dashboard": True, "alarm_email": "team@example.com"},
    "watched-topic": {"alarms": True, "alarm_topic_arn": "arn:aws:sns:eu-central-1:123456789012:alarms"},
    "watched-closely": {"alarms": True, "alarm_p99_ms": 800, "alarm_monthly_usd": 5},
    "tracing": {"tracing": True},
    "budget": {"budget_monthly_usd": 20, "alarm_email": "team@example.com"},
    "organization": {
        "tags": {"team": "search", "cost-center": "1234"},
        "permissions_boundary": "developers",
        "qualifier": "search",
        "stage": "blue",
    },
    "everything": {
        "auth": "api_key",
        "principals": ["210987654321"],
        "kms_key": "create",
        "vpc_id": "vpc-0a1b2c3d",
        "subnet_ids": ["subnet-0a1b2c3d"],
        "provisioned_concurrency": 1,
        "traffic_shifting": "linear_10_percent_every_1_minute",
        "golden_check": True,
        "warm_environments": 2,
        "alarms": True,
        "dashboard": True,
        "alarm_email": "team@example.com",
        "tracing": True,
        "budget_monthly_usd": 20,
    },
}
CASES |= {
    f"stage-{name}": overrides
    for name, overrides in json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"].items()
}
"""Name of a case to what it sets in the configuration."""

PUBLIC = {"api-key", "api-key-brought", "public", "retain", "key", "everything"}
"""Those that ask for a URL which the internet reaches."""
