"""Runs the function's image on this machine as Lambda would: podman, the image's base, the image itself, and the Lambda
runtime interface emulator. Tests and benchmarks use it; nothing here is needed to use or deploy the project.

``python -m tests.support.setup container`` installs it on a Debian machine with nothing but Python. Downloads go to
``build/tools``.
"""
