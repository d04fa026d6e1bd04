"""Configurations whose templates are checked: one for each option, and some together."""

import json
from typing import Any

from configuration import PROJECT

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "arm64": {"architecture": "arm64"},
    "size": {"memory_mb": 3008, "timeout_seconds": 120, "reserved_concurrency": 2},
    "unreserved": {"reserved_concurrency": "unreserved", "auth": "none"},
    "serving": {
        "default_prompt": "query",
        "long_texts": "window",
        "max_tokens_per_request": 4096,
        "served_model_names": ["e5", "*"],
    },
    "build": {
        "base_image": "registry.example.com/python:3.13",
        "pip_conf": "/etc/pip.conf",
        "ca_bundle": "/etc/ssl/certs/ca-certificates.crt",
    },
    "existing-image": {"image": "embeddings@sha256:" + "a" * 64},
    "principals": {"principals": ["210987654321", "arn:aws:iam::210987654321:role/caller", "o-a1b2c3d4e5"]},
    "api-key": {"auth": "api_key", "cors_origins": ["https://example.com"]},
    "api-key-brought": {
        "auth": "api_key",
        "api_key_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf",
    },
    "public": {"auth": "none"},
    "gateway": {"endpoint": "api_gateway", "principals": ["210987654321"]},
    "gateway-domain": {
        "endpoint": "api_gateway",
        "auth": "api_key",
        "requests_per_address": 100,
        "domain_name": "embeddings.example.com",
        "certificate_arn": "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555",
    },
    "no-url": {"endpoint": "none", "principals": ["210987654321"]},
    "inactive": {"keep_active": False},
    "parameters": {"ssm_prefix": "/search/embeddings"},
    "no-parameters": {"ssm_prefix": "none"},
    "logs": {"log_level": "WARNING", "log_retention_days": 365, "log_caller": True},
    "retain": {"retain": True, "auth": "api_key", "kms_key": "create"},
    "key": {"kms_key": "create", "auth": "api_key"},
    "key-brought": {"kms_key": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"},
    "vpc": {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]},
    "vpc-groups": {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]},
    "provisioned": {"provisioned_concurrency": 2, "golden_check": True, "reserved_concurrency": 10},
    "canary": {"traffic_shifting": "canary_10_percent_5_minutes"},
    "golden-check": {"golden_check": True},
    "watched": {"alarms": True, "dashboard": True, "alarm_email": "team@example.com"},
    "watched-topic": {"alarms": True, "alarm_topic_arn": "arn:aws:sns:eu-central-1:123456789012:alarms"},
    "watched-closely": {"alarms": True, "alarm_p99_ms": 800, "alarm_monthly_usd": 5},
    "tracing": {"tracing": True},
    "bulk": {"bulk_inputs": ["corpus", "archive/texts"], "bulk_outputs": ["vectors/out"]},
    "bulk-watched": {
        "bulk_inputs": ["corpus"],
        "bulk_outputs": ["vectors"],
        "bulk_kms_keys": ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"],
        "bulk_concurrency": 20,
        "bulk_reserve": False,
        "bulk_split_seconds": 60,
        "bulk_memory_mb": 3008,
        "alarms": True,
        "dashboard": True,
        "alarm_email": "team@example.com",
        "tracing": True,
    },
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
        "alarms": True,
        "dashboard": True,
        "alarm_email": "team@example.com",
        "tracing": True,
    },
}
CASES |= {
    f"stage-{name}": overrides
    for name, overrides in json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"].items()
}
"""The keys that each case sets, by its name."""

PUBLIC = {"unreserved", "api-key", "api-key-brought", "public", "retain", "key", "everything", "gateway-domain"}
"""Cases whose URL can be reached from the internet."""
