"""Calls a deployed embeddings endpoint from Python.

from serverless_embeddings_client import SigV4Auth
"""

from .sigv4 import SigV4Auth

__all__ = ["SigV4Auth"]
