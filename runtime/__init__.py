"""Serves an artifact of ``model_export``: Lambda handler, HTTP API and local server.

Imports neither ``model_export`` nor ``infra``: the artifact folder and its manifest are all that it knows of the model.
"""
