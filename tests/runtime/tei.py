"""TEI's own description of its API, to validate our answers against."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

DESCRIPTION = json.loads(Path(__file__).with_name("tei-openapi.json").read_text())


def validate(response) -> None:
    """Raise unless TEI's description has this answer: its status for the route, and its schema for the body."""
    path = response.request.url.path
    path = "/embed" if path == "/" and response.request.method == "POST" else path
    operation = DESCRIPTION["paths"][path][response.request.method.lower()]
    described = operation["responses"][str(response.status_code)]
    for media_type, content in described.get("content", {}).items():
        if media_type == "application/json":
            validator(json.dumps(content["schema"], sort_keys=True)).validate(response.json())


@cache
def validator(schema: str) -> jsonschema.Draft202012Validator:
    """A validator for a schema of the description."""
    return jsonschema.Draft202012Validator(
        {**as_json_schema(json.loads(schema)), "components": as_json_schema(DESCRIPTION["components"])}
    )


def as_json_schema(schema: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` in JSON Schema's words."""
    if isinstance(schema, list):
        return [as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: as_json_schema(value) for name, value in schema.items() if name != "nullable"} | (
        {"nullable": True} if schema.get("nullable") is True else {}
    )
    if schema.pop("nullable", False):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema
