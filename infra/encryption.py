"""The key that encrypts logs, environment variables and the API key, if the keys that AWS owns are not enough."""

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from configuration.groups import Logs


def encryption_key(scope: Construct, logs: Logs, removal_policy: RemovalPolicy) -> kms.IKey | None:
    """Return the key for ``logs.kms_key``: a new one, an existing one, or ``None``."""
    if logs.kms_key is None:
        return None
    if logs.kms_key != "create":
        return kms.Key.from_key_arn(scope, "Key", logs.kms_key)
    key = kms.Key(
        scope,
        "Key",
        description="Logs, environment and API key of the embeddings endpoint",
        enable_key_rotation=True,
        removal_policy=removal_policy,
    )
    key.add_to_resource_policy(_logs_may_use(Stack.of(scope)))
    return key


def _logs_may_use(stack: Stack) -> iam.PolicyStatement:
    """Return the statement that lets CloudWatch Logs use the key, for log groups of this account only.

    Source: CloudWatch Logs' user guide, "Encrypt log data using AWS KMS". In China the principal ends with the suffix of that
    partition (the CDK's ``region_info.Default.service_principal``).
    """
    log_groups = stack.format_arn(
        service="logs", resource="log-group", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(f"logs.{stack.region}.{stack.url_suffix}")],
        actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        resources=["*"],
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
    )
