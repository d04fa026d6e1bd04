"""The table of routes: one line for each, and the way from a method and a path to what answers it."""

from collections.abc import Callable
from typing import Any

import msgspec

from . import openai, pages, tei, types
from .errors import HttpError
from .messages import Response


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """A path that ends in ``/{…}`` stands for all that begin like it; the function gets what follows."""
    function: Callable[..., Response]
    """Takes the service and, where there is one, the request; its docstring is the summary in the description."""
    request: Any = None
    """Type of the request's body."""
    response: Any
    """Type of the answer's body, or its media type where it is no JSON."""
    statuses: tuple[int, ...] = ()
    """Other statuses than 200 that this route has for reasons of its own."""
    also: tuple[str, ...] = ()
    """Other paths of the same."""
    open: bool = False
    """Whether it is answered without a key."""


TEI_STATUSES = (400, 413, 415, 422)


def _tei(path: str, function: Callable, request: Any, response: Any, **more: Any) -> Route:
    more = {"statuses": TEI_STATUSES, **more}
    return Route(method="POST", path=path, function=function, request=request, response=response, **more)


def _headless(path: str, function: Callable, request: Any, response: Any) -> Route:
    """A route of TEI that needs a head on the model, which no model of ours has."""
    return _tei(path, function, request, response, statuses=(*TEI_STATUSES, 424))


def _get(path: str, function: Callable, response: Any, **more: Any) -> Route:
    return Route(method="GET", path=path, function=function, response=response, **more)


ROUTES = (
    _tei("/embed", tei.embed, types.EmbedRequest, types.EmbedResponse, also=("/", "/invocations")),
    _tei("/embed_all", tei.embed_all, types.EmbedAllRequest, types.EmbedAllResponse),
    _tei("/similarity", tei.similarity, types.SimilarityRequest, types.SimilarityResponse),
    _tei("/tokenize", tei.tokenize, types.TokenizeRequest, types.TokenizeResponse),
    _tei("/decode", tei.decode, types.DecodeRequest, types.DecodeResponse),
    _headless("/embed_sparse", tei.embed_sparse, types.EmbedSparseRequest, types.EmbedSparseResponse),
    _headless("/predict", tei.predict, types.PredictRequest, types.PredictResponse),
    _headless("/rerank", tei.rerank, types.RerankRequest, types.RerankResponse),
    _get("/health", tei.health, "text/plain", also=("/", "/ping"), open=True),
    _get("/info", tei.info, types.Info),
    _get("/metrics", pages.metrics, "text/plain"),
    Route(
        method="POST",
        path="/v1/embeddings",
        function=openai.embeddings,
        request=types.OpenAIEmbeddingsRequest,
        response=types.OpenAIEmbeddingsResponse,
        statuses=(400, 404),
        also=("/embeddings",),
    ),
    _get("/v1/models", openai.models, types.OpenAIModels),
    _get("/v1/models/{model}", openai.model, types.OpenAIModel, statuses=(404,)),
    _get("/openapi.json", pages.description, dict[str, Any], also=("/api-doc/openapi.json",)),
    _get("/docs", pages.docs, "text/html"),
)


def _by_path() -> dict[str, dict[str, Route]]:
    table: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        for path in (route.path, *route.also):
            table.setdefault(path.partition("{")[0], {})[route.method] = route
    return table


_TABLE = _by_path()
_PREFIXES = tuple(route.path.partition("{")[0] for route in ROUTES if "{" in route.path)


def find(method: str, path: str) -> tuple[Route, str | None]:
    """The route for ``method`` (HEAD is answered as GET) and ``path``, and what stands in the path for its ``{…}``.

    Raises:
        HttpError: 404, or 405 with the methods that are allowed.
    """
    methods, parameter = _methods(path)
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = allowed_methods(path)
        message = f"{method} is not allowed on {path}; {allowed} are"
        raise HttpError(405, message, error_type="MethodNotAllowed", headers={"allow": allowed})
    return route, parameter


def allowed_methods(path: str) -> str:
    """The methods of ``path``, as the ``Allow`` header has them. Raises like :func:`find` if there is no such path."""
    methods, _ = _methods(path)
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def is_open(method: str, path: str) -> bool:
    """Whether a request is answered without a key."""
    try:
        return find(method, path)[0].open
    except HttpError:
        return False


def is_openai(path: str) -> bool:
    """Whether errors on ``path``, which need not be a route, are told in OpenAI's way."""
    return path.startswith("/v1/") or path.rstrip("/") == "/embeddings"


def _methods(path: str) -> tuple[dict[str, Route], str | None]:
    path = path.rstrip("/") or "/"
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None)
    methods = _TABLE.get(prefix or path)
    if methods is None:
        raise HttpError(404, f"there is no {path}; /openapi.json lists what there is", error_type="NotFound")
    return methods, path[len(prefix) :] if prefix else None
