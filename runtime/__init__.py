"""Serves an artifact: Lambda handler, HTTP API and local server.

Imports nothing of ``model_export`` or ``infra``: the runtime knows the model by the artifact's folder and its manifest alone.
Its rooms import downwards only: ``server``, ``aws``, ``settings``, ``http``, ``service``, ``engine``.
"""

import os

# Unless this is set before onnxruntime is imported, it reports to Microsoft, which costs a thread and some 50 ms of a start.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
