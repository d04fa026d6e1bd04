"""Serves an artifact of ``model_export``: Lambda handler, HTTP API and local server.

Imports neither ``model_export`` nor ``infra``: the artifact folder and its manifest are all that it knows of the model.
"""

import os

# onnxruntime reports to Microsoft unless told not to before it is imported, and takes a thread and some 50 ms of a start for it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
