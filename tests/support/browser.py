"""Debian's Chromium, for the tests of the documentation page and of clients that run in pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from containers.tools import ToolError, run, say

if TYPE_CHECKING:  # only slow tests need the package
    from playwright.sync_api import Browser

PACKAGE = "chromium"
FLAGS = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser, running without a window.

    Raises:
        ToolError: it is missing and cannot be installed.
    """
    from playwright.sync_api import sync_playwright

    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure(), args=flags)
        yield browser
        browser.close()


def ensure() -> Path:
    """Return the path of the browser's executable, after installing the browser if it is missing.

    Raises:
        ToolError: it is missing and cannot be installed.
    """
    if not shutil.which(PACKAGE):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise ToolError(f"some tests need a browser: apt-get install {PACKAGE}")
        say(f"installing {PACKAGE}")
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update"], env=env)
        run(["apt-get", "install", "--yes", "--no-install-recommends", PACKAGE], env=env)
    return Path(shutil.which(PACKAGE))
