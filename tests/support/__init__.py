"""Test equipment: an emulated AWS and the CDK CLI for the end-to-end tests, emulated CPUs for the tests of vectors, a browser
for the documentation page. The package ``containers`` has podman, the image and the Lambda emulator.

``python -m tests.support.setup`` installs it on a Debian machine with nothing but Python. Downloads go to ``build/tools``.
"""
