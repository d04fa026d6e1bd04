"""From results to responses."""

from typing import Any

import msgspec
import numpy as np
import orjson

from ..service.options import Usage
from .messages import Response


def json_answer(payload: msgspec.Struct | list, usage: Usage | None = None) -> Response:
    """``payload``, made of types of ``runtime.http.types``, as JSON."""
    return Response(body=msgspec.json.encode(payload), usage=usage)


def numbers_answer(payload: np.ndarray | list[np.ndarray] | dict[str, Any], usage: Usage) -> Response:
    """``payload`` with numpy arrays in it as JSON; a float32 gets the fewest digits that still identify it."""
    return Response(body=orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY), usage=usage)


def text_answer(text: str, content_type: str = "text/plain; charset=utf-8") -> Response:
    """``text`` as the body."""
    return Response(body=text.encode(), content_type=content_type)
