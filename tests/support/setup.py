"""Installs the needs of the container tests (``container``) or of the end-to-end tests (``e2e``, the default).

    python -m tests.support.setup [container|e2e]

It installs only what is missing, so a second run takes about a second.
"""

import sys

from containers import emulator
from containers.tools import ToolError

from . import aws, cdk


def main(level: str = "e2e") -> None:
    """Install everything for the tests of this level.

    Raises:
        ToolError: something could not be installed.
    """
    if level not in ("container", "e2e"):
        raise ToolError(f"{level!r} is not a level of tests with containers; allowed: container, e2e")
    emulator.install()
    if level == "e2e":
        aws.ensure()
        cdk.ensure()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except ToolError as error:
        sys.exit(f"error: {error}")
