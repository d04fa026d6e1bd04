"""Checks our answers against the facts of TEI's source, which ``tei.yaml`` states, and our known differences from them."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

FACTS = yaml.safe_load(Path(__file__).with_name("tei.yaml").read_text())
DIFFERENCES = {
    "structures": {
        # OpenAI's own object, which its clients read. They choose the exception by the status, so the statuses are OpenAI's too.
        "OpenAICompatErrorResponse": {"error": {"$ref": "#/components/schemas/OpenAIError"}},
        "OpenAIError": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"]},
            "code": {"type": ["string", "null"]},
        },
    },
    "routes": {
        # Only Google's Vertex AI calls it.
        "POST /vertex": None,
        # The endpoint is on the internet, where nobody without the key should see the model or how much it is used.
        "GET /metrics": FACTS["routes"]["GET /metrics"] | {"open": False},
        "GET /api-doc/openapi.json": FACTS["routes"]["GET /api-doc/openapi.json"] | {"open": False},
        "GET /docs": FACTS["routes"]["GET /docs"] | {"open": False},
    },
    "headers": {
        # TEI says `gpu+optimized` on a CPU too.
        "x-compute-type": "cpu",
    },
    "metrics": {
        # One environment answers one request at a time: there is no queue that batches are formed from.
        "te_queue_size": None,
        "te_batch_next_size": None,
        "te_batch_next_tokens": None,
    },
}
"""Our known differences, and why: each entry replaces the fact of the same name, None for one that is missing here. Besides,
errors that TEI writes as plain text, or without a body, are JSON like all others. docs/api.md lists all."""
OPENAI_STATUSES = {400, 404, 424, 429}
"""Statuses of errors on OpenAI's route."""
EXPECTED = {
    name: FACTS[name] | DIFFERENCES.get(name, {})
    for name in ("statuses", "rejections", "structures", "routes", "headers", "metrics")
}
VALIDATION = EXPECTED["statuses"]["Validation"]


def validate(response) -> None:
    """Check ``response``, httpx' answer to a request on one of TEI's routes.

    Raises:
        AssertionError, jsonschema.ValidationError: TEI would not answer like this, and it is not a known difference.
    """
    operation = _find(response.request.method, response.request.url.path)
    route = EXPECTED["routes"][operation]
    if response.status_code != 200:
        _check_error(route, response)
        return
    answer = route.get("answer")
    if answer is None:
        assert response.content == b""
    elif isinstance(answer, str):
        assert _media_type(response) == answer
    else:
        _check_json(response, answer)
    if route.get("compute"):
        _check_headers(response.headers)
    if operation == "GET /metrics":
        _check_metrics(response.text)


def description() -> dict[str, Any]:
    """TEI's routes with our differences, as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for operation, route in EXPECTED["routes"].items():
        if route is not None:
            method, described = operation.split()[0].lower(), _operation(route)
            for path in _paths(operation, route):
                paths.setdefault(path, {})[method] = described
    info = {"title": "Text Embeddings Inference", "version": FACTS["version"]}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": COMPONENTS}


def _find(method: str, path: str) -> str:
    for operation, route in EXPECTED["routes"].items():
        if route is not None and operation.startswith(f"{method} ") and path in _paths(operation, route):
            return operation
    raise AssertionError(f"{method} {path} is not one of TEI's routes")


def _paths(operation: str, route: dict[str, Any]) -> list[str]:
    return [operation.split()[1], *route.get("aliases", ())]


def _check_error(route: dict[str, Any], response) -> None:
    _check_json(response, _reference(route.get("error", "ErrorResponse")))
    if "error" in route:
        assert response.status_code in OPENAI_STATUSES
        return
    body = response.json()
    for beginning, status in EXPECTED["rejections"].items():
        if body["error"].startswith(beginning):
            assert (response.status_code, body["error_type"]) == (status, "Validation")
            return
    assert body["error_type"] in route["errors"]
    assert response.status_code == EXPECTED["statuses"][body["error_type"]]


def _check_json(response, schema: dict[str, Any]) -> None:
    assert _media_type(response) == "application/json"
    jsonschema.Draft202012Validator({**schema, "components": COMPONENTS}).validate(response.json())


def _check_headers(headers) -> None:
    for name, fact in EXPECTED["headers"].items():
        if name == "x-compute-type":
            assert headers[name] == fact
        else:
            assert headers[name].isdecimal()


def _check_metrics(text: str) -> None:
    for family in text_string_to_metric_families(text):
        fact = EXPECTED["metrics"][family.name]
        assert fact is not None and family.type == fact["type"]
        bounds = []
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                bounds.append(float(labels.pop("le")))
            assert labels.keys() == fact.get("labels", {}).keys()
            assert all(value in fact["labels"][name] for name, value in labels.items())
        if family.type == "histogram":
            assert bounds == pytest.approx([*_buckets(family.name, fact, len(bounds) - 1), float("inf")])


def _buckets(name: str, fact: dict[str, Any], count: int) -> list[float]:
    """The upper bounds of the histogram ``name``; for te_request_input_length, which ends at the model's length, ``count``."""
    count = count if name == "te_request_input_length" else fact["count"]
    return [fact["start"] * fact["factor"] ** power for power in range(count)]


def _media_type(response) -> str:
    return response.headers["content-type"].partition(";")[0]


def _operation(route: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"responses": {"200": _response(route.get("answer"))}}
    statuses = {EXPECTED["statuses"][error_type] for error_type in route["errors"]}
    if "request" in route:
        operation["requestBody"] = {"required": True, "content": _json(_reference(route["request"]))}
        statuses |= set(EXPECTED["rejections"].values())
    if "error" in route:
        statuses = OPENAI_STATUSES
    error = _response(_reference(route.get("error", "ErrorResponse")))
    operation["responses"] |= {str(status): error for status in statuses}
    return operation


def _response(answer: dict[str, Any] | str | None) -> dict[str, Any]:
    if answer is None:
        return {"description": ""}
    content = {answer: {"schema": {"type": "string"}}} if isinstance(answer, str) else _json(answer)
    return {"description": "", "content": content}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _reference(structure: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{structure}"}


def _structure(fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    required = [name for name, schema in fields.items() if "default" not in schema]
    return {"type": "object", "properties": fields, "required": required}


COMPONENTS = {"schemas": {name: _structure(fields) for name, fields in EXPECTED["structures"].items()}}
