"""Requests through API Gateway: events of a REST API with Lambda proxy integration, payload format 1.0."""

import base64
import gzip
import json
from types import SimpleNamespace

import pytest

RECORDED = {
    # The input format in AWS's documentation, with our path, body and content type; long header lists left out:
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    "resource": "/{proxy+}",
    "path": "/v1/embeddings",
    "httpMethod": "POST",
    "headers": {"Content-Type": "application/json", "Host": "id.execute-api.us-east-1.amazonaws.com"},
    "multiValueHeaders": {
        "Content-Type": ["application/json"],
        "Host": ["id.execute-api.us-east-1.amazonaws.com"],
    },
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": {"proxy": "v1/embeddings"},
    "stageVariables": None,
    "requestContext": {
        "resourceId": "2gxmpl",
        "resourcePath": "/{proxy+}",
        "httpMethod": "POST",
        "extendedRequestId": "JJbxmplHYosFVYQ=",
        "requestTime": "10/Mar/2020:00:03:59 +0000",
        "path": "/live/v1/embeddings",
        "accountId": "123456789012",
        "protocol": "HTTP/1.1",
        "stage": "live",
        "domainPrefix": "id",
        "requestTimeEpoch": 1583798639428,
        "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
        "identity": {
            "accountId": None,
            "sourceIp": "52.255.255.12",
            "userArn": "arn:aws:iam::123456789012:user/caller",
            "userAgent": "OpenAI/Python",
        },
        "domainName": "id.execute-api.us-east-1.amazonaws.com",
        "apiId": "id",
    },
    "body": base64.b64encode(b'{"model": "tei", "input": "a"}').decode(),
    "isBase64Encoded": True,
}


def with_body(body: bytes, path: str = "/embed", **headers: str) -> dict:
    """The recorded event with another body, path and more headers."""
    more = {"headers": RECORDED["headers"] | headers, "body": base64.b64encode(body).decode()}
    return RECORDED | {"path": path, **more}


def test_an_answer(handler):
    result = handler(with_body(b'{"inputs": "a"}'))
    assert result.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert (result["statusCode"], len(json.loads(result["body"])[0])) == (200, 384)
    assert result["headers"]["x-request-id"] == RECORDED["requestContext"]["requestId"]


def test_an_error_on_the_routes_of_openai(handler):
    result = handler(RECORDED | {"body": base64.b64encode(b"[]").decode()})
    assert (result["statusCode"], list(json.loads(result["body"]))) == (400, ["error"])


def test_a_body_without_base64(handler):
    result = handler(RECORDED | {"path": "/embed", "body": '{"inputs": "a"}', "isBase64Encoded": False})
    assert result["statusCode"] == 200


def test_compressed_both_ways(handler):
    body = gzip.compress(json.dumps({"inputs": ["a"] * 10}).encode())
    result = handler(with_body(body, **{"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}))
    assert (result["statusCode"], result["isBase64Encoded"]) == (200, True)
    assert len(json.loads(gzip.decompress(base64.b64decode(result["body"])))) == 10


def test_a_get_request(handler):
    result = handler(RECORDED | {"httpMethod": "GET", "path": "/info", "body": None})
    assert json.loads(result["body"])["model_id"]


def test_parts_of_other_types(handler):
    for part in ("httpMethod", "path", "headers", "body"):
        assert handler(RECORDED | {part: 7})["statusCode"] in (400, 404, 405, 415, 422), part


def test_the_time_that_the_gateway_waits(handler):
    """At most 28 seconds, where the function itself may take 900."""
    context = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 900_000)
    deadlines = []
    application = handler.application
    answer = application.answer
    application.answer = lambda request, deadline: deadlines.append(deadline) or answer(request, deadline)
    try:
        handler(with_body(b'{"inputs": "a"}'), context)
        handler(RECORDED | {"requestContext": {"http": {"method": "GET", "path": "/health"}}}, context)
    finally:
        del application.answer
    assert deadlines[1] - deadlines[0] == pytest.approx(900 - 28, abs=1)
