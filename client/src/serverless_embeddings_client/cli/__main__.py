"""Runs the command where it is not installed: ``python -m serverless_embeddings_client.cli``."""

from . import run

run()
