"""The result of fetching a checkpoint, and the check that all sources share."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this disk."""

    folder: Path
    id: str
    """Hub id where there is one, else the folder's name."""
    source: str
    """``hub``, ``folder`` or ``embedded``."""
    revision: str | None
    """Commit on the Hub, hash of the folder's files, or version of the package that it was rebuilt from."""


def check_folder(folder: Path) -> Path:
    """The absolute path of ``folder``, which must hold a ``config.json``.

    Raises:
        CheckpointError: there is no such folder, or its ``config.json`` is missing or is not JSON.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is not a folder")
    try:
        json.loads((folder / CONFIG_FILE).read_text())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: is not a checkpoint: it has no {CONFIG_FILE} that can be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: is not JSON ({error})") from error
    return folder
