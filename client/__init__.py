"""What callers of a deployed endpoint may import.

from client import SigV4Auth
"""

from .sigv4 import SigV4Auth

__all__ = ["SigV4Auth"]
