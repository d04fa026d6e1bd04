"""Debian's Chromium, for the tests of the documentation page."""

import os
import shutil
from pathlib import Path

from containers.tools import ToolError, run, say

PACKAGE = "chromium"


def ensure() -> Path:
    """Return the path of the browser's executable, after installing the browser if it is missing.

    Raises:
        ToolError: it is missing and cannot be installed.
    """
    if not shutil.which(PACKAGE):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise ToolError(f"the documentation page is tested in a browser: apt-get install {PACKAGE}")
        say(f"installing {PACKAGE}")
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update"], env=env)
        run(["apt-get", "install", "--yes", "--no-install-recommends", PACKAGE], env=env)
    return Path(shutil.which(PACKAGE))
