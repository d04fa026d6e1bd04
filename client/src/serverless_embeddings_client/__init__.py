"""Calls a deployed embeddings endpoint from Python.

from serverless_embeddings_client import AsyncClient, Client, SigV4Auth
"""

from typing import TYPE_CHECKING, Any

from .sigv4 import SigV4Auth

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .errors import EndpointError, TextRefused

__all__ = ["AsyncClient", "Client", "EndpointError", "SigV4Auth", "TextRefused"]


def __getattr__(name: str) -> Any:
    """Import what needs httpx and numpy when it is first used: who only signs requests waits for neither."""
    if name in ("AsyncClient", "Client"):
        from . import client as module
    elif name in ("EndpointError", "TextRefused"):
        from . import errors as module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module, name)
