"""Installs the packages of a lock into a folder:

    python install_packages.py LOCK FOLDER

``FOLDER/SHA256SUMS`` then has their wheels, as sha256sum prints them: the bill of materials has their hashes from there.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CERTIFICATES = Path("/run/secrets/ca_bundle")
"""Of a certificate authority of the network; empty where the build was given none."""
OPTIONS = (
    "--disable-pip-version-check",
    "--root-user-action=ignore",
    "--no-cache-dir",
    "--no-compile",
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
)


def main(lock: str, folder: str) -> None:
    """Install them. Ends with the status of pip if that failed; pip has printed why."""
    given = CERTIFICATES.exists() and CERTIFICATES.stat().st_size > 0
    with tempfile.NamedTemporaryFile() as report:
        where = ["--report", report.name, "--target", folder, "--requirement", lock]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *OPTIONS, *where],
            env=os.environ | ({"PIP_CERT": str(CERTIFICATES)} if given else {}),
        )
        if done.returncode:
            sys.exit(done.returncode)
        wheels = [item["download_info"] for item in json.load(report)["install"]]
    lines = [f"{wheel['archive_info']['hashes']['sha256']}  {wheel['url'].rpartition('/')[2]}\n" for wheel in wheels]
    (Path(folder) / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
