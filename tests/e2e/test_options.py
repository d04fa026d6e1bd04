"""Deployments with options that the other tests leave out, each in a separate stack that is removed at the end.

The emulated account has no CodeDeploy, so only the template tests cover gradual shifting.
"""

import gzip
import json
from contextlib import contextmanager

import pytest

from containers.tools import ToolError
from tests.e2e.conftest import resources
from tests.texts import LANGUAGES

TEXT = LANGUAGES["en"]
ORIGIN = "https://example.com"


@contextmanager
def deployed(deploy, aws, stack_name: str, **context: str):
    """A stack that is destroyed at the end and leaves nothing."""
    before = resources(aws)
    stack = deploy(stack_name, **context)
    yield stack
    stack.app.destroy()
    assert resources(aws) == before


def test_a_public_endpoint_with_a_created_key(deploy, aws):
    context = {
        "auth": "none",
        "kms_key": "create",
        "cors_origins": ORIGIN,
        "tags": '{"team": "search"}',
        "tracing": "true",
    }
    with deployed(deploy, aws, "E2ePublic", **context) as stack:
        with stack.client() as client:
            assert client.post("/embed", json={"inputs": TEXT}).status_code == 200
            asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
            assert client.options("/embed", headers=asked).headers["access-control-allow-origin"] == ORIGIN
        lambda_ = aws.client("lambda")
        function = lambda_.get_function(FunctionName=stack.outputs["FunctionName"])
        (group,) = aws.client("logs").describe_log_groups(logGroupNamePrefix=stack.outputs["LogGroup"])["logGroups"]
        assert group["retentionInDays"] == 30
        assert aws.client("kms").describe_key(KeyId=group["kmsKeyId"])["KeyMetadata"]["Enabled"]
        assert function["Tags"]["team"] == "search"
        assert function["Configuration"]["TracingConfig"]["Mode"] == "Active"
        policy = json.loads(lambda_.get_policy(FunctionName=stack.outputs["FunctionName"], Qualifier="live")["Policy"])
        assert {statement["Action"] for statement in policy["Statement"]} == {
            "lambda:InvokeFunctionUrl",
            "lambda:InvokeFunction",
        }


def test_api_gateway_behind_a_limit_for_each_address(deploy, aws, user):
    with deployed(deploy, aws, "E2eGateway", endpoint="api_gateway", requests_per_address="100") as stack:
        caller = user({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"})
        with stack.client() as client:
            assert client.post("/embed", json={"inputs": TEXT}).status_code == 403
        with stack.client(user()) as client:
            assert client.post("/embed", json={"inputs": TEXT}).status_code == 403
        with stack.client(caller) as client:
            body = gzip.compress(json.dumps({"inputs": [TEXT] * 20}).encode())
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            answer = client.post("/embed", content=body, headers=headers)
            assert answer.status_code == 200 and answer.json() == [stack.invoke({"inputs": TEXT})[0]] * 20
            assert client.post("/v1/embeddings", json={"input": TEXT, "model": "nope"}).status_code == 404
            assert client.get("/info").json()["dimensions"] == 384
        with pytest.raises(aws.client("lambda").exceptions.ResourceNotFoundException):
            aws.client("lambda").get_function_url_config(FunctionName=stack.outputs["FunctionName"], Qualifier="live")
        waf = aws.client("wafv2")
        (acl,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
        found = waf.get_web_acl(Scope="REGIONAL", Id=acl["Id"], Name=acl["Name"])["WebACL"]
        (rule,) = found["Rules"]
        assert rule["Statement"]["RateBasedStatement"]["Limit"] == 100
        (api,) = waf.list_resources_for_web_acl(WebACLArn=acl["ARN"])["ResourceArns"]
        assert api.endswith("/stages/live")


def test_an_image_that_is_in_ecr_already(deploy, aws):
    """A second deployment runs the image that the first one pushed, and checks it without the artifact."""
    repository = aws.client("ecr").describe_repositories()["repositories"][0]["repositoryName"]
    images = aws.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    latest = max(images, key=lambda image: image["imagePushedAt"])
    image = f"{repository}:{latest['imageTags'][0]}"
    with deployed(deploy, aws, "E2eExisting", image=image, golden_check="true") as stack:
        assert "AssetImage" not in stack.printed
        assert len(stack.invoke({"inputs": TEXT})[0]) == 384


def test_environments_kept_ready(deploy, aws):
    with deployed(deploy, aws, "E2eReady", provisioned_concurrency="1", golden_check="true") as stack:
        alias = {"FunctionName": stack.outputs["FunctionName"], "Qualifier": "live"}
        ready = aws.client("lambda").get_provisioned_concurrency_config(**alias)
        assert ready["RequestedProvisionedConcurrentExecutions"] == 1


def test_too_little_memory_is_refused_before_anything_is_deployed(deploy, aws):
    before = resources(aws)
    with pytest.raises(ToolError, match="memory_mb: 128 is too little"):
        deploy("E2eSmall", memory_mb="128")
    assert resources(aws) == before
