"""API Gateway in front of the function: nobody can go around it, and it limits the requests of each address."""

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam

from configuration.errors import ConfigurationError
from configuration.groups import Access, Gateway, ServiceOptions
from infra import EmbeddingService

from .conftest import Template, properties, resources

CASES = ("gateway", "gateway-domain")
INVOKE = "execute-api:Invoke"


@pytest.mark.parametrize("case", CASES)
def test_the_function_has_no_other_address(case: str, templates: dict[str, Template]) -> None:
    template = templates[case]
    permissions = properties(template, "AWS::Lambda::Permission")

    assert not resources(template, "AWS::Lambda::Url")
    callers = {json.dumps(permission["Principal"]) for permission in permissions}
    assert callers <= {'"apigateway.amazonaws.com"', '"210987654321"'}
    assert all("SourceArn" in one for one in permissions if one["Principal"] == "apigateway.amazonaws.com")


@pytest.mark.parametrize(("case", "authorization"), [("gateway", "AWS_IAM"), ("gateway-domain", "NONE")])
def test_every_path_and_method_reaches_the_function(
    case: str, authorization: str, templates: dict[str, Template]
) -> None:
    methods = properties(templates[case], "AWS::ApiGateway::Method")

    assert [(method["HttpMethod"], method["AuthorizationType"]) for method in methods] == [("ANY", authorization)] * 2
    assert {method["Integration"]["Type"] for method in methods} == {"AWS_PROXY"}
    (api,) = properties(templates[case], "AWS::ApiGateway::RestApi")
    assert api["BinaryMediaTypes"] == ["*/*"], "a compressed body would arrive damaged"


@pytest.mark.parametrize(("case", "limit"), [("gateway", 2000), ("gateway-domain", 100)])
def test_each_address_is_limited(case: str, limit: int, templates: dict[str, Template]) -> None:
    (acl,) = properties(templates[case], "AWS::WAFv2::WebACL")
    (association,) = properties(templates[case], "AWS::WAFv2::WebACLAssociation")
    (rule,) = acl["Rules"]

    assert acl["Scope"] == "REGIONAL" and "/stages/" in json.dumps(association["ResourceArn"])
    assert rule["Statement"]["RateBasedStatement"] == {
        "AggregateKeyType": "IP",
        "EvaluationWindowSec": 300,
        "Limit": limit,
    }
    answer = rule["Action"]["Block"]["CustomResponse"]
    assert answer["ResponseCode"] == 429
    error = json.loads(acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]["Content"])
    assert error.keys() == {"error", "error_type"}
    assert not acl["VisibilityConfig"]["SampledRequestsEnabled"], "samples would keep the key of a request"


def test_a_domain(templates: dict[str, Template]) -> None:
    template = templates["gateway-domain"]
    (domain,) = properties(template, "AWS::ApiGateway::DomainName")
    (api,) = properties(template, "AWS::ApiGateway::RestApi")

    assert domain["DomainName"] == "embeddings.example.com" and domain["SecurityPolicy"] == "TLS_1_2"
    assert api["DisableExecuteApiEndpoint"]
    assert template["Outputs"]["Url"]["Value"] == "https://embeddings.example.com/"
    assert template["Outputs"]["DomainTarget"]["Value"]["Fn::GetAtt"][1] == "RegionalDomainName"


def test_callers_sign_for_the_gateway(templates: dict[str, Template]) -> None:
    assert ":execute-api" in json.dumps(templates["gateway"]["Outputs"]["TryIt"]["Value"])


def test_principals_may_call_the_gateway(templates: dict[str, Template]) -> None:
    (api,) = properties(templates["gateway"], "AWS::ApiGateway::RestApi")
    (statement,) = api["Policy"]["Statement"]

    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Allow", INVOKE, "execute-api:/*")
    assert "210987654321" in json.dumps(statement["Principal"])


def test_a_role_of_the_app_may_call_the_gateway(
    feature_flags: dict[str, Any], small_artifact: Any, tmp_path: Any
) -> None:
    stack = Stack(App(outdir=str(tmp_path), context=feature_flags), "Stack")
    role = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    options = ServiceOptions(access=Access(endpoint="api_gateway"))
    context = small_artifact.parents[2]
    EmbeddingService(stack, "Embeddings", artifact=small_artifact, options=options, build_context=context).grant_invoke(
        role
    )
    template = stack.node.root.synth().get_stack_by_name("Stack").template

    (policy,) = properties(template, "AWS::IAM::Policy", "Caller")
    assert INVOKE in [statement["Action"] for statement in policy["PolicyDocument"]["Statement"]]


def test_options_of_a_gateway_need_one(feature_flags: dict[str, Any], small_artifact: Any, tmp_path: Any) -> None:
    stack = Stack(App(outdir=str(tmp_path), context=feature_flags), "Stack")
    options = ServiceOptions(gateway=Gateway(requests_per_address=100))
    told = "requests_per_address: needs endpoint = api_gateway. endpoint is function_url"
    with pytest.raises(ConfigurationError, match=told):
        EmbeddingService(stack, "Embeddings", artifact=small_artifact, options=options)
