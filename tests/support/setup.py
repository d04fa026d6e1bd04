"""Installs what the container tests (``container``) or the end-to-end tests (``e2e``, the default) need.

    python -m tests.support.setup [container|e2e]

What is there already is left alone, so that a second run takes about a second.
"""

import sys

from . import aws, base_image, cdk, emulator, engine
from .tools import ToolError


def main(level: str = "e2e") -> None:
    """Installs everything for the tests of this level.

    Raises:
        ToolError: something could not be installed.
    """
    if level not in ("container", "e2e"):
        raise ToolError(f"{level!r} is not a level of tests with containers: container or e2e")
    engine.install()
    base_image.ensure()
    engine.configure(base_image.LOCAL)
    emulator.ensure()
    if level == "e2e":
        aws.ensure()
        cdk.ensure()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except ToolError as error:
        sys.exit(f"error: {error}")
