"""A route, and the context that its function gets beside the request."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..service.options import Encoded, EncodeOptions
from ..service.service import Service
from .messages import Response
from .metrics import Metrics


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """If it ends in ``/{…}``, it matches all paths that start like it; the function gets the rest."""
    function: Callable[..., Response] | None = None
    """Takes the :class:`Call` and, if the route has one, the request. Its docstring is the summary in the description. None
    for a task that no head serves yet."""
    task: str | None = None
    """The model's task that the route needs; None if it serves every model."""
    request: Any = None
    """Type of the request's body."""
    response: Any
    """Type of the answer's body, or its media type if it is not JSON."""
    statuses: tuple[int, ...] = ()
    """Statuses that the description lists besides 200 and 401."""
    also: tuple[str, ...] = ()
    """Aliases of the path."""
    open: bool = False
    """Whether it is answered without a key."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The context of one request."""

    service: Service
    routes: tuple[Route, ...]
    """All routes, for the description."""
    metrics: Metrics
    served_model_name: str | None = None
    """A name for the model besides its id, for OpenAI's clients."""
    needs_key: bool = False
    """Whether callers have to send an API key."""
    deadline: float = float("inf")
    """The time by ``perf_counter``, in seconds, when the request has to be answered."""

    def encode(self, inputs: Sequence[str | list[int]], options: EncodeOptions) -> Encoded:
        """The tokens of ``inputs``, which the metrics count; see :meth:`Service.encode`."""
        self.metrics.count_inputs(len(inputs))
        encoded = self.service.encode(inputs, options, self.deadline)
        self.metrics.observe_lengths(encoded)
        return encoded


def is_openai(path: str) -> bool:
    """Whether answers on ``path``, known or not, have OpenAI's form."""
    return path.startswith("/v1/") or path.rstrip("/") == "/embeddings"
