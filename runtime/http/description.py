"""``/openapi.json``: the requests and answers of all routes, from the types that validate them (OpenAPI 3.1)."""

from typing import Any

import msgspec

from . import VERSION
from .errors import is_openai
from .route import Call, Route
from .types import NARROWED, ErrorResponse, OpenAIErrorResponse

REF_TEMPLATE = "#/components/schemas/{name}"
REASONS = {
    400: "Nothing to work on, or the body is not JSON",
    401: "The API key is missing or wrong",
    404: "There is no such model",
    413: "The body is too long",
    415: "The body is not `application/json`, or in an encoding that is not known",
    422: "A field has another type, an input or option is outside of what is allowed, or the answer would not fit",
}


def describe(call: Call) -> dict[str, Any]:
    """The description of the API of this deployment."""
    types = [ErrorResponse, OpenAIErrorResponse]
    for route in call.routes:
        types += [kind for kind in (route.request, route.response) if kind is not None and not isinstance(kind, str)]
    schemas, components = _narrow(msgspec.json.schema_components(types, ref_template=REF_TEMPLATE))
    schema_of = {_key(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in call.routes:
        for path in (route.path, *route.also):
            operation = _operation(route, path, schema_of, call.needs_key)
            paths.setdefault(path, {})[route.method.lower()] = operation
    description = {
        "openapi": "3.1.0",
        "info": {
            "title": "Serverless text embeddings",
            "description": f"`{call.service.manifest.model.id}` by the routes of Text Embeddings Inference and of OpenAI.",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "Text Embeddings Inference"}, {"name": "OpenAI"}, {"name": "Service"}],
        "paths": paths,
        "components": {"schemas": components},
    }
    if call.needs_key:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return description


def _operation(route: Route, path: str, schema_of: dict[str, Any], needs_key: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": ((route.function or route.request).__doc__ or "").strip(),
        "operationId": "_".join([route.method.lower(), *path.strip("/").translate(_NOT_IN_IDS).split()]),
        "tags": [_tag(route)],
        "responses": {"200": _response("The answer", route.response, schema_of)},
    }
    if "{" in path:
        name = path.partition("{")[2].rstrip("}")
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]
    if route.request is not None:
        content = {"application/json": {"schema": schema_of[_key(route.request)]}}
        operation["requestBody"] = {"required": True, "content": content}
    error = OpenAIErrorResponse if is_openai(path) else ErrorResponse
    statuses = [*route.statuses]
    if needs_key and not route.open:
        statuses.append(401)
        operation["security"] = [{"key": []}]
    for status in sorted(statuses):
        operation["responses"][str(status)] = _response(REASONS[status], error, schema_of)
    return operation


_NOT_IN_IDS = str.maketrans("/.-{}", "     ")


def _tag(route: Route) -> str:
    if is_openai(route.path):
        return "OpenAI"
    return "Service" if route.path in ("/docs", "/openapi.json", "/metrics") else "Text Embeddings Inference"


def _response(description: str, kind: Any, schema_of: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"description": description, "content": {kind: {"schema": {"type": "string"}}}}
    return {"description": description, "content": {"application/json": {"schema": schema_of[_key(kind)]}}}


def _narrow(schema: Any) -> Any:
    """``schema``, with each schema that has the key :data:`NARROWED` replaced by the narrower one there."""
    if isinstance(schema, (list, tuple)):
        return [_narrow(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if NARROWED in schema:
        return {name: schema[name] for name in ("description", "examples") if name in schema} | schema[NARROWED]
    return {name: _narrow(value) for name, value in schema.items()}


def _key(kind: Any) -> str:
    # Annotated types with examples are not hashable.
    return repr(kind)
