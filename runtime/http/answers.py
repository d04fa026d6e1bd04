"""From results to responses."""

from typing import Any

import msgspec
import numpy as np
import orjson

from ..service.options import Usage
from .messages import Response
from .route import Call


def json_answer(payload: msgspec.Struct | list, usage: Usage | None = None) -> Response:
    """``payload``, made of types of ``runtime.http.types``, as JSON."""
    return Response(body=msgspec.json.encode(payload), usage=usage)


def numbers_answer(payload: np.ndarray | list[np.ndarray] | dict[str, Any], usage: Usage) -> Response:
    """``payload`` with numpy arrays in it as JSON; a float32 gets the fewest digits that still identify it."""
    return Response(body=orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY), usage=usage)


def vectors_answer(payload: np.ndarray | dict[str, Any], usage: Usage, dimensions: int | None, call: Call) -> Response:
    """An answer with vectors of as many ``dimensions`` as the request asks for.

    If the model does not name the shorter dimensions that it was trained for, the header ``x-untrained-dimensions`` warns of others
    than its own.
    """
    response, manifest = numbers_answer(payload, usage), call.service.manifest
    if dimensions not in (None, manifest.dimensions) and not manifest.matryoshka_dimensions:
        response.headers["x-untrained-dimensions"] = str(dimensions)
    return response


def shortest(values: np.ndarray) -> list:
    """float32 numbers as Python's, with the fewest digits that still identify them."""
    return orjson.loads(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))


def text_answer(text: str, content_type: str = "text/plain; charset=utf-8") -> Response:
    """``text`` as the body."""
    return Response(body=text.encode(), content_type=content_type)
