"""The table of routes, and how a path finds its routes."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from . import cohere, openai, pages, tei, types
from .errors import HttpError
from .route import Route

TEI_STATUSES = (400, 413, 415, 422)
UNSUPPORTED = {
    "embed": "Model is not an embedding model",
    "sparse": "Model is not an embedding model with SPLADE pooling",
    "classify": "Model is not a classifier model",
    "rerank": "model is not a re-ranker model",
}
"""TEI's messages for a model with another task than the one that a route needs."""


def _tei(path: str, function: Callable, request: Any, response: Any, *tasks: str) -> Route:
    """A route of TEI for models of these tasks, by default of all."""
    return Route(
        method="POST",
        path=path,
        function=function,
        tasks=tasks,
        request=request,
        response=response,
        statuses=TEI_STATUSES,
    )


def _get(path: str, function: Callable, response: Any, **more: Any) -> Route:
    return Route(method="GET", path=path, function=function, response=response, **more)


EMBED = _tei("/embed", tei.embed, types.EmbedRequest, types.EmbedResponse, "embed")
EMBED_ALL = _tei("/embed_all", tei.embed_all, types.EmbedAllRequest, types.EmbedAllResponse, "embed", "multi_vector")
EMBED_SPARSE = _tei("/embed_sparse", tei.embed_sparse, types.EmbedSparseRequest, types.EmbedSparseResponse, "sparse")
PREDICT = _tei("/predict", tei.predict, types.PredictRequest, types.PredictResponse, "classify", "rerank")
RERANK = _tei("/rerank", tei.rerank, types.RerankRequest, types.RerankResponse, "rerank")
ROUTES = (
    EMBED,
    EMBED_ALL,
    _tei("/similarity", tei.similarity, types.SimilarityRequest, types.SimilarityResponse, "embed"),
    _tei("/tokenize", tei.tokenize, types.TokenizeRequest, types.TokenizeResponse),
    _tei("/decode", tei.decode, types.DecodeRequest, types.DecodeResponse),
    EMBED_SPARSE,
    PREDICT,
    RERANK,
    Route(
        method="POST",
        path="/v1/rerank",
        function=cohere.rerank,
        tasks=("rerank",),
        request=types.CohereRerankRequest,
        response=types.CohereRerankResponse,
        statuses=(400, 404),
        also=("/v2/rerank",),
    ),
    _get("/health", tei.health, "text/plain", also=("/", "/ping"), open=True),
    _get("/info", tei.info, types.Info),
    _get("/metrics", pages.metrics, "text/plain"),
    Route(
        method="POST",
        path="/v1/embeddings",
        function=openai.embeddings,
        tasks=("embed",),
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
BY_TASK = {"embed": EMBED, "multi_vector": EMBED_ALL, "sparse": EMBED_SPARSE, "classify": PREDICT, "rerank": RERANK}
"""The route whose fields a direct invocation has, by the model's task."""
ALIASES = ("/", "/invocations")
"""Other paths of that route, as in TEI."""


@cache
def answerable(task: str) -> tuple[Route, ...]:
    """The routes that a model with this task can answer."""
    return tuple(
        msgspec.structs.replace(route, also=ALIASES) if route is BY_TASK[task] else route
        for route in ROUTES
        if not route.tasks or task in route.tasks
    )


def _by_path() -> dict[str, dict[str, Route]]:
    table: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        for path in (route.path, *route.also):
            table.setdefault(path.partition("{")[0], {})[route.method] = route
    return table


_TABLE = _by_path()
_PREFIXES = tuple(route.path.partition("{")[0] for route in ROUTES if "{" in route.path)


def find(path: str, task: str) -> tuple[Mapping[str, Route], str | None]:
    """The routes of ``path`` by method for a model with this ``task``, none for an unknown path; and the part of the path that matched
    ``{…}``."""
    path = _normalized(path)
    if path in ALIASES:
        return {**_TABLE.get(path, {}), "POST": BY_TASK[task]}, None
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None)
    return _TABLE.get(prefix or path, {}), path[len(prefix) :] if prefix else None


def allowed_methods(methods: Mapping[str, Route]) -> str:
    """The ``Allow`` header of a path with these routes by method."""
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def not_found(path: str) -> HttpError:
    """The error for an unknown path."""
    return HttpError(404, f"there is no {_normalized(path)}; /openapi.json lists what there is", error_type="NotFound")


def not_allowed(method: str, path: str, methods: Mapping[str, Route]) -> HttpError:
    """The error for a path that has no route for ``method``."""
    allowed = allowed_methods(methods)
    message = f"{method} is not allowed on {path}; {allowed} are"
    return HttpError(405, message, error_type="MethodNotAllowed", headers={"allow": allowed})


def _normalized(path: str) -> str:
    return path.rstrip("/") or "/"
