"""Who may call: the Function URL and its permissions, and the API key."""

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from configuration.groups import Access
from runtime.http.cors import ALLOWED_HEADERS, EXPOSED_HEADERS

KEY_LENGTH = 48
"""Characters of a created API key, letters and digits: 285 bits."""


def api_key_secret(
    scope: Construct, access: Access, encryption_key: kms.IKey | None, removal_policy: RemovalPolicy
) -> secretsmanager.ISecret:
    """Return the secret with the API key: the one that ``access`` names, or a new one with a random key."""
    if access.api_key_secret_arn:
        return secretsmanager.Secret.from_secret_complete_arn(scope, "ApiKey", access.api_key_secret_arn)
    secret = secretsmanager.Secret(
        scope,
        "ApiKey",
        description="API key of the embeddings endpoint: the whole text is the key",
        generate_secret_string=secretsmanager.SecretStringGenerator(
            password_length=KEY_LENGTH, exclude_punctuation=True
        ),
        encryption_key=encryption_key,
        removal_policy=removal_policy,
    )
    Validations.of(secret).acknowledge(
        Acknowledgment(
            id="AwsSolutions-SMG4",
            reason="The callers hold the key too: it is rotated when they are ready, see docs/operations.md.",
        )
    )
    return secret


def let_read(role: iam.Role, secret: secretsmanager.ISecret, access: Access) -> None:
    """Let ``role`` read the API key, and nothing more of the secret (``grant_read`` also allows describing it)."""
    role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret.secret_arn]))
    if access.api_key_secret_arn:
        # The key that encrypts a brought secret is not known. Secrets Manager names the secret to it:
        # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html (encryption context).
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:Decrypt"],
                resources=["*"],
                conditions={
                    "StringEquals": {
                        "kms:EncryptionContext:SecretARN": secret.secret_arn,
                        "kms:ViaService": f"secretsmanager.{secret.env.region}.amazonaws.com",
                    }
                },
            )
        )
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="The key of a brought secret is not known; the condition allows to decrypt this one secret only.",
            )
        )


def function_url(alias: lambda_.Alias, access: Access) -> lambda_.FunctionUrl:
    """Create the alias's URL.

    Unless ``auth`` is ``iam``, the internet can reach it: the CDK then adds the two permissions that Lambda requires,
    ``lambda:InvokeFunctionUrl``, and ``lambda:InvokeFunction`` through the URL.
    """
    public = access.auth != "iam"
    return alias.add_function_url(
        auth_type=lambda_.FunctionUrlAuthType.NONE if public else lambda_.FunctionUrlAuthType.AWS_IAM,
        invoke_mode=lambda_.InvokeMode.BUFFERED,
        cors=_cors(access) if access.cors_origins else None,
    )


def _cors(access: Access) -> lambda_.FunctionUrlCorsOptions:
    return lambda_.FunctionUrlCorsOptions(
        allowed_origins=list(access.cors_origins),
        allowed_methods=[lambda_.HttpMethod.GET, lambda_.HttpMethod.HEAD, lambda_.HttpMethod.POST],
        allowed_headers=list(ALLOWED_HEADERS),
        exposed_headers=list(EXPOSED_HEADERS),
        max_age=Duration.hours(1),
    )


def principal(name: str) -> iam.IPrincipal:
    """Return the principal for an entry of ``Access.principals``: an account, an organization, or the ARN of a role or user."""
    if name.isdigit():
        return iam.AccountPrincipal(name)
    return iam.OrganizationPrincipal(name) if name.startswith("o-") else iam.ArnPrincipal(name)
