"""The HTTP API: TEI's and OpenAI's routes, their types and errors, and the pages that describe them.

It knows nothing of Lambda's events (``runtime.aws.function_url``) nor of onnxruntime: a parsed request comes in, the service works on
it, a response goes out. A new route is a function, its types, and one line in ``routes.py``.
"""

VERSION = "0.1.0"
"""Version of the API, as ``/info`` and ``/openapi.json`` tell it."""
