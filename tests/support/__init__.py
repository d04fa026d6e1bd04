"""What the container and end-to-end tests stand on: a container engine, the Lambda runtime interface emulator, an
emulated AWS and the CDK CLI; and emulated CPUs, for the parity tests.

``python -m tests.support.setup`` installs it on a Debian machine with nothing but Python; what it downloads goes to
``build/tools``. Nothing here is needed to use or deploy the project.
"""
