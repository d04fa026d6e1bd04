"""Stacks in regions of every partition: their ARNs, principals and resource types, and what is refused where."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Stage, Validations
from aws_cdk.region_info import Default
from cdk_nag import AwsSolutionsChecks
from cfnlint.helpers import REGIONS

from configuration.context import parse_configuration
from configuration.errors import ConfigurationError
from infra.regions import has_function_urls
from infra.stack import EmbeddingsStack

from .cases import CASES
from .conftest import Template, properties

PARTITIONS = {"eu-central-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"}
ACCOUNT = "123456789012"
EVERYTHING = CASES["everything"] | {"endpoint": "none", "auth": "iam"}


def define(app: App, region: str, artifact: Path, options: dict[str, Any]) -> EmbeddingsStack:
    """The stack in a known region, as in an app with several stages."""
    stage = Stage(app, region, env=Environment(account=ACCOUNT, region=region))
    return EmbeddingsStack(stage, parse_configuration(options), artifact, artifact.parents[2])


@pytest.fixture(scope="module")
def by_region(
    feature_flags: dict[str, Any], small_artifact: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The template with all options but the URL, by region. cdk-nag looks at them while they are synthesized."""
    app = App(outdir=str(tmp_path_factory.mktemp("regions")), context=feature_flags)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    stacks = {region: define(app, region, small_artifact, EVERYTHING) for region in PARTITIONS}
    folder = Path(app.synth().directory)
    return {region: folder / f"assembly-{region}" / stack.template_file for region, stack in stacks.items()}


@pytest.mark.parametrize("region", PARTITIONS)
def test_arns_are_those_of_the_partition(region: str, by_region: dict[str, Path]) -> None:
    text = by_region[region].read_text()

    others = {f'"arn:{partition}:' for partition in PARTITIONS.values()} - {f'"arn:{PARTITIONS[region]}:'}
    assert not any(other in text for other in others)
    assert f"arn:{PARTITIONS[region]}:" in text


@pytest.mark.parametrize(("region", "suffix"), [("cn-north-1", "amazonaws.com.cn"), ("us-gov-west-1", "amazonaws.com")])
def test_principals_are_those_of_the_partition(region: str, suffix: str, by_region: dict[str, Path]) -> None:
    """Only the name of CloudWatch Logs has the region and the partition's suffix, as the CDK's region_info knows."""
    template: Template = json.loads(by_region[region].read_text())
    principals = {
        _filled_in(statement["Principal"]["Service"], suffix)
        for kind, document in (("AWS::KMS::Key", "KeyPolicy"), ("AWS::IAM::Role", "AssumeRolePolicyDocument"))
        for own in properties(template, kind)
        for statement in own[document]["Statement"]
        if "Service" in statement["Principal"]
    }

    names = {"lambda", "scheduler", "codedeploy", "cloudwatch"}
    assert principals == {
        *(f"{name}.amazonaws.com" for name in names),
        Default.service_principal("logs.amazonaws.com", region, suffix),
    }


def _filled_in(name: str | dict[str, Any], suffix: str) -> str:
    """The principal, with ``AWS::URLSuffix`` filled in."""
    if isinstance(name, str):
        return name
    return "".join(suffix if part == {"Ref": "AWS::URLSuffix"} else part for part in name["Fn::Join"][1])


@pytest.mark.parametrize("region", PARTITIONS)
def test_cfn_lint_finds_nothing(region: str, by_region: dict[str, Path]) -> None:
    lint(by_region[region], [region])


def test_the_default_template_is_right_in_every_region_with_urls(assembly: Path) -> None:
    lint(assembly / "default.template.json", [region for region in PUBLIC_REGIONS if has_function_urls(region)])


def test_without_a_url_the_template_is_right_in_every_region(assembly: Path) -> None:
    lint(assembly / "no-url.template.json", PUBLIC_REGIONS)


PUBLIC_REGIONS = [region for region in REGIONS if not region.startswith(("us-iso", "eu-iso", "eusc-"))]


def lint(template: Path, regions: list[str]) -> None:
    """Check the template's resource types and properties in these regions."""
    command = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", "W3005", "--regions", *regions]
    found = subprocess.run([*command, "--", template], capture_output=True, text=True)
    assert found.stdout + found.stderr == "" and found.returncode == 0


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "eu-central-2"])
def test_a_url_is_refused_where_there_are_none(
    region: str, feature_flags: dict[str, Any], small_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"endpoint: {region} has no Lambda Function URLs. Allowed: api_gateway, or none"
    with pytest.raises(ConfigurationError, match=told):
        define(App(outdir=str(tmp_path / "a"), context=feature_flags), region, small_artifact, {})
    # A stack without a region of its own is deployed to that of the CDK CLI.
    monkeypatch.setenv("CDK_DEFAULT_REGION", region)
    app = App(outdir=str(tmp_path / "b"), context=feature_flags)
    with pytest.raises(ConfigurationError, match=told):
        EmbeddingsStack(app, parse_configuration({}), small_artifact, small_artifact.parents[2])
