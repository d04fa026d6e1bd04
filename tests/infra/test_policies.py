"""Checks of every template: least privilege, nothing public, nothing left behind, the rules of cdk-nag and cfn-lint."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk
import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_sns as sns
from cdk_nag import AwsSolutionsChecks

from .cases import CASES, PUBLIC
from .conftest import Template, properties, resources

LOGS = {
    "Effect": "Allow",
    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": {"Fn::GetAtt": ["EmbeddingsLogs6D21C861", "Arn"]},
}
CREATED_SECRET = {
    "Effect": "Allow",
    "Action": "secretsmanager:GetSecretValue",
    "Resource": {"Ref": "EmbeddingsApiKey1D236F04"},
}
DECRYPT_BROUGHT_SECRET = {
    "Effect": "Allow",
    "Action": "kms:Decrypt",
    "Resource": "*",
    "Condition": {
        "StringEquals": {
            "kms:EncryptionContext:SecretARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf",
            "kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com",
        }
    },
}
BROUGHT_SECRET = CREATED_SECRET | {"Resource": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf"}
CREATED_KEY = {
    "Effect": "Allow",
    "Action": "kms:Decrypt",
    "Resource": {"Fn::GetAtt": ["EmbeddingsKey6B766546", "Arn"]},
}
BROUGHT_KEY = CREATED_KEY | {
    "Resource": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}
INTERFACES = {
    "Effect": "Allow",
    "Action": [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ],
    "Resource": "*",
}
NONE_BY_CODE = INTERFACES | {
    "Effect": "Deny",
    "Condition": {
        "ArnLike": {
            "lambda:SourceFunctionArn": {
                "Fn::Join": [
                    "",
                    [
                        "arn:",
                        {"Ref": "AWS::Partition"},
                        ":lambda:",
                        {"Ref": "AWS::Region"},
                        ":",
                        {"Ref": "AWS::AccountId"},
                        ":function:*",
                    ],
                ]
            }
        }
    },
}
TRACES = {"Effect": "Allow", "Action": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "Resource": "*"}

EXECUTION_ROLE = {
    "api-key": [LOGS, CREATED_SECRET],
    "api-key-brought": [LOGS, BROUGHT_SECRET, DECRYPT_BROUGHT_SECRET],
    "gateway-domain": [LOGS, CREATED_SECRET],
    "retain": [LOGS, CREATED_SECRET, CREATED_KEY],
    "key": [LOGS, CREATED_SECRET, CREATED_KEY],
    "key-brought": [LOGS, BROUGHT_KEY],
    "vpc": [LOGS, INTERFACES, NONE_BY_CODE],
    "vpc-groups": [LOGS, INTERFACES, NONE_BY_CODE],
    "tracing": [LOGS, TRACES],
    "bulk-watched": [LOGS, TRACES],
    # The CDK merges statements on the same resource.
    "everything": [
        LOGS,
        CREATED_SECRET,
        CREATED_KEY,
        INTERFACES | {"Action": INTERFACES["Action"] + TRACES["Action"]},
        NONE_BY_CODE,
    ],
}
"""All permissions of the function by case; in every other case it may only write its logs."""


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    """All statements of the policies of a role, by its logical id."""
    own = template["Resources"][role]["Properties"]
    assert "ManagedPolicyArns" not in own
    documents = [policy["PolicyDocument"] for policy in own.get("Policies", [])]
    documents += [
        policy["PolicyDocument"]
        for policy in properties(template, "AWS::IAM::Policy")
        if {"Ref": role} in policy["Roles"]
    ]
    return [_sorted(statement) for document in documents for statement in document["Statement"]]


def _sorted(statement: dict[str, Any]) -> dict[str, Any]:
    actions = statement["Action"]
    return dict(sorted(statement.items())) | {"Action": actions if isinstance(actions, str) else sorted(actions)}


@pytest.mark.parametrize("case", CASES)
def test_execution_role_may_do_what_is_expected_and_nothing_else(case: str, templates: dict[str, Template]) -> None:
    function = properties(templates[case], "AWS::Lambda::Function", "EmbeddingsFunction")[0]
    role = function["Role"]["Fn::GetAtt"][0]

    found = statements(templates[case], role)

    expected = EXECUTION_ROLE.get(case, [LOGS])
    assert sorted(found, key=str) == sorted(map(_sorted, expected), key=str)


def test_golden_check_may_invoke_the_function_and_write_its_own_logs(templates: dict[str, Template]) -> None:
    assert statements(templates["golden-check"], "EmbeddingsGoldenCheckRoleF86C1F62") == [
        LOGS | {"Resource": {"Fn::GetAtt": ["EmbeddingsGoldenCheckLogs5E82EDBD", "Arn"]}},
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": {"Fn::Join": ["", [{"Fn::GetAtt": ["EmbeddingsFunction9B0F5F82", "Arn"]}, ":*"]]},
        },
    ]


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case].get("keep_active", True)])
def test_the_schedule_may_invoke_the_alias_and_nothing_else(case: str, templates: dict[str, Template]) -> None:
    (schedule,) = properties(templates[case], "AWS::Scheduler::Schedule")
    role = schedule["Target"]["RoleArn"]["Fn::GetAtt"][0]

    assert statements(templates[case], role) == [
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": {"Ref": "EmbeddingsLive8C55E27E"}}
    ]
    (trust,) = templates[case]["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert set(trust["Condition"]["StringEquals"]) == {"aws:SourceAccount", "aws:SourceArn"}


def open_doors(template: Template) -> Iterator[str]:
    """Logical ids of resources that let anybody in: URLs, permissions, resource policies, security groups."""
    for name, resource in template["Resources"].items():
        own = resource.get("Properties", {})
        if resource["Type"] == "AWS::Lambda::Url" and own["AuthType"] == "NONE":
            yield name
        if resource["Type"] == "AWS::ApiGateway::Method" and own["AuthorizationType"] == "NONE":
            yield name
        if resource["Type"] == "AWS::Lambda::Permission" and own["Principal"] == "*" and "PrincipalOrgID" not in own:
            yield name
        for rule in own.get("SecurityGroupIngress", []):
            if rule.get("CidrIp") == "0.0.0.0/0" or rule.get("CidrIpv6") == "::/0":
                yield name
        for document in (
            "PolicyDocument",
            "ResourcePolicy",
            "KeyPolicy",
            "RepositoryPolicyText",
            "AssumeRolePolicyDocument",
        ):
            for statement in own.get(document, {}).get("Statement", []):
                anybody = statement.get("Principal") in ("*", {"AWS": "*"})
                if statement["Effect"] == "Allow" and anybody and "Condition" not in statement:
                    yield name


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_public_without_being_asked_for(case: str, templates: dict[str, Template]) -> None:
    doors = {templates[case]["Resources"][name]["Type"] for name in open_doors(templates[case])}

    # A public URL takes both permissions since October 2025. Nothing else may be public.
    gateway = CASES[case].get("endpoint") == "api_gateway"
    public = {"AWS::ApiGateway::Method"} if gateway else {"AWS::Lambda::Url", "AWS::Lambda::Permission"}
    assert doors == (public if case in PUBLIC else set())


@pytest.mark.parametrize("case", sorted(case for case in PUBLIC if "endpoint" not in CASES[case]))
def test_public_url_has_both_permissions(case: str, templates: dict[str, Template]) -> None:
    alias = {"Ref": "EmbeddingsLive8C55E27E"}

    found = [grant for grant in properties(templates[case], "AWS::Lambda::Permission") if grant["Principal"] == "*"]

    assert found == [
        {"Action": "lambda:InvokeFunctionUrl", "FunctionName": alias, "FunctionUrlAuthType": "NONE", "Principal": "*"},
        {"Action": "lambda:InvokeFunction", "FunctionName": alias, "InvokedViaFunctionUrl": True, "Principal": "*"},
    ]


@pytest.mark.parametrize("case", [case for case in CASES if not CASES[case].get("retain")])
def test_destroying_the_stack_leaves_nothing(case: str, templates: dict[str, Template]) -> None:
    kept = {
        resource["Type"]
        for resource in templates[case]["Resources"].values()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }

    # Versions go with their function.
    assert kept <= {"AWS::Lambda::Version"}
    assert all(
        "LogGroup" in function["LoggingConfig"] for function in properties(templates[case], "AWS::Lambda::Function")
    ), "a function without a log group in the stack creates one that stays"


def test_retain_keeps_what_holds_data(templates: dict[str, Template]) -> None:
    kept = {
        resource["Type"]
        for resource in templates["retain"]["Resources"].values()
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate" and resource["Type"] != "AWS::Lambda::Version"
    }

    # Those of a first deployment that fails go, so that the next one can create them.
    assert kept == {"AWS::Logs::LogGroup", "AWS::SecretsManager::Secret", "AWS::KMS::Key"}


def test_only_production_is_protected_from_deletion(assembly: Path) -> None:
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    protected = {name for name, entry in artifacts.items() if entry["properties"].get("terminationProtection")}

    assert protected == {"stage-prod"}


def test_aws_solutions_finds_nothing(assembly: Path) -> None:
    report = json.loads((assembly / "validation-report.json").read_text())

    assert report["pluginReports"] == []


def test_aws_solutions_is_on(feature_flags: dict[str, Any], tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), context=feature_flags)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    sns.Topic(Stack(app, "Stack"), "Unencrypted")

    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()

    assert "AwsSolutions-SNS3" in (tmp_path / "validation-report.json").read_text()


def test_cfn_lint_finds_nothing(assembly: Path) -> None:
    templates = sorted(assembly.glob("*.template.json"))
    assert len(templates) == len(CASES)

    # W3005, a redundant dependency: the CDK writes one on each role beside the reference to it.
    command = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", "W3005", "--regions", "eu-central-1"]
    found = subprocess.run([*command, "--", *templates], capture_output=True, text=True)

    assert found.stdout + found.stderr == ""
    assert found.returncode == 0


def test_feature_flags_are_the_recommended_ones(feature_flags: dict[str, Any]) -> None:
    library = next(Path(aws_cdk.__file__).parent.glob("_jsii/aws-cdk-lib@*.jsii.tgz"))
    with tarfile.open(library) as archive:
        recommended = json.load(archive.extractfile("package/recommended-feature-flags.json"))

    assert feature_flags == recommended


@pytest.mark.parametrize("case", CASES)
def test_roles_stay_in_the_permissions_boundary(case: str, templates: dict[str, Template]) -> None:
    bounded = ["PermissionsBoundary" in role for role in properties(templates[case], "AWS::IAM::Role")]

    assert all(bounded) if CASES[case].get("permissions_boundary") else not any(bounded)


def test_tags_are_on_all_that_takes_them(templates: dict[str, Template], assembly: Path) -> None:
    manifest = json.loads((assembly / "manifest.json").read_text())
    tags = {"team": "search", "cost-center": "1234"}

    assert manifest["artifacts"]["organization-blue"]["properties"]["tags"] == tags
    for kind in ("AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Logs::LogGroup"):
        for resource in resources(templates["organization"], kind).values():
            assert {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]} == tags
