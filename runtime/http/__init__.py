"""The HTTP API: TEI's and OpenAI's routes, their types and errors, and the pages that describe them.

It knows nothing of Lambda's events (``runtime.aws``) or of onnxruntime: a request goes in, the service computes, a response
comes out. A new route is a function, its types, and one line in ``routes.py``.
"""

VERSION = "0.1.0"
"""Version of the API in ``/info`` and ``/openapi.json``."""
