"""Errors in answers: TEI's ``{"error", "error_type"}`` and, on OpenAI's routes, OpenAI's error object.

Statuses and types are those of TEI's router (``router/src/http/server.rs``) and of OpenAI's API
(https://platform.openai.com/docs/guides/error-codes); OpenAI's clients choose the exception class by the status.
"""

import orjson

from ..service.errors import RequestError
from .messages import Response

TEI_STATUS = {"Unhealthy": 503, "Backend": 424, "Overloaded": 429, "Tokenizer": 422, "Validation": 422, "Empty": 400}


class HttpError(RequestError):
    """A request that does not reach the service, or an answer that is too long to send."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_type: str = "Validation",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.error_type = error_type
        self.code = code
        self.headers = headers or {}


def is_openai(path: str) -> bool:
    """Whether errors on ``path``, known or not, have OpenAI's form."""
    return path.startswith("/v1/") or path.rstrip("/") in ("/embeddings", "/v2/rerank")


def error_answer(error: RequestError, path: str) -> Response:
    """The answer for ``error`` in the form of the API that ``path`` belongs to."""
    if not is_openai(path):
        return tei_error(error)
    return _openai_error(error, "documents" if path.rstrip("/").endswith("/rerank") else "input")


def tei_error(error: RequestError) -> Response:
    """The answer for ``error`` on TEI's routes."""
    if isinstance(error, HttpError):
        status, headers = error.status, error.headers
    else:
        status, headers = TEI_STATUS[error.error_type], {}
    body = orjson.dumps({"error": error.prefix + error.message, "error_type": error.error_type})
    return Response(status=status, body=body, headers=headers, error_type=error.error_type)


def _openai_error(error: RequestError, inputs: str) -> Response:
    """The answer for ``error`` on OpenAI's routes, where an invalid request is a 400 unless it has a more specific status.

    ``inputs`` is the route's name for the field that TEI calls ``inputs``.
    """
    status, code, headers = 400, None, {}
    if isinstance(error, HttpError):
        status = 400 if error.status in (413, 415, 422) else error.status
        code, headers = error.code, error.headers
    elif error.error_type in ("Backend", "Unhealthy", "Overloaded"):
        status = TEI_STATUS[error.error_type]
    kind = "invalid_request_error" if status < 500 else "server_error"
    param = inputs if error.param == "inputs" else error.param
    message = error.message.replace("`inputs`", f"`{inputs}`")
    body = orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
    return Response(status=status, body=body, headers=headers, error_type=error.error_type)
