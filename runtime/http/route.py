"""A route, and the context that its function gets beside the request."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..service.options import Encoded, EncodeOptions
from ..service.service import Service
from .messages import Response
from .metrics import Metrics

ANY_NAME = "*"
"""Among the names that a deployment serves: any other name is served too."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """If it ends in ``/{…}``, it matches all paths that start like it; the function gets the rest."""
    function: Callable[..., Response]
    """Takes the :class:`Call` and, if the route has one, the request. Its docstring is the summary in the description."""
    tasks: tuple[str, ...] = ()
    """The model's tasks that the route serves; none if it serves every model."""
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
    """The routes that the model can answer, for the description."""
    metrics: Metrics
    served_model_names: tuple[str, ...] = ()
    """Names for the model besides its id, for OpenAI's clients; ``*`` for any."""
    needs_key: bool = False
    """Whether callers have to send an API key."""
    gzip: bool | None = None
    """Whether the client accepts gzip; None if the answer cannot be compressed."""
    deadline: float = float("inf")
    """The time by ``perf_counter``, in seconds, when the request has to be answered."""

    @property
    def model_names(self) -> list[str]:
        """The model's names: those that the deployment chose, then its id. Answers have the first one."""
        names = [*self.served_model_names, self.service.manifest.model.id]
        return [name for name in dict.fromkeys(names) if name != ANY_NAME]

    def encode(self, inputs: Sequence[str | list[int]], options: EncodeOptions) -> Encoded:
        """The tokens of ``inputs``, which the metrics count; see :meth:`Service.encode`."""
        return self._counted(self.service.encode, inputs, options)

    def encode_pairs(self, inputs: Sequence[str | tuple[str, str]], options: EncodeOptions) -> Encoded:
        """The tokens of ``inputs``, which the metrics count; see :meth:`Service.encode_pairs`."""
        return self._counted(self.service.encode_pairs, inputs, options)

    def _counted(self, encode: Callable[..., Encoded], inputs: Sequence, options: EncodeOptions) -> Encoded:
        self.metrics.count_inputs(len(inputs))
        encoded = encode(inputs, options, self.deadline)
        self.metrics.observe_lengths(encoded)
        return encoded
