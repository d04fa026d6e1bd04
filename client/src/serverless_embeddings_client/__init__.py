"""Calls a deployed embeddings endpoint from Python.

from serverless_embeddings_client import AsyncClient, Client, SigV4Auth
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .errors import EndpointError, TextRefused
    from .sigv4 import SigV4Auth

__all__ = ["AsyncClient", "Client", "EndpointError", "SigV4Auth", "TextRefused"]

_MODULES = {
    "AsyncClient": "client",
    "Client": "client",
    "EndpointError": "errors",
    "SigV4Auth": "sigv4",
    "TextRefused": "errors",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: who signs requests needs neither httpx nor numpy, and ``--help`` needs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
