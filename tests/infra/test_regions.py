"""The list of regions without Function URLs, compared with the resource types that CloudFormation has in each region."""

import json
from importlib.resources import files

import pytest

from infra.regions import has_function_urls

SCHEMAS = files("cfnlint.data.schemas") / "providers"
REGIONS = sorted(file.name.removesuffix(".json") for file in SCHEMAS.iterdir() if "-" in file.name)
DOCUMENTED_AS_WITHOUT = {"eu-south-2", "cn-north-1"}
"""Regions that AWS's documentation excludes although CloudFormation knows the type there."""


@pytest.mark.parametrize("region", REGIONS)
def test_cloudformation_agrees(region: str) -> None:
    types = json.loads((SCHEMAS / f"{region}.json").read_text())
    assert has_function_urls(region) == ("AWS::Lambda::Url" in types and region not in DOCUMENTED_AS_WITHOUT)
