"""Checkpoints in a local folder."""

import hashlib
import os
from pathlib import Path

from configuration.groups import ModelSettings

from .checkpoint import Checkpoint, check_folder
from .size import check_size


def fetch(settings: ModelSettings) -> Checkpoint:
    """The checkpoint in the folder ``settings.model``.

    Raises:
        CheckpointError: the folder holds no checkpoint, or one that is too large.
    """
    folder = _folder(settings)
    return Checkpoint(folder, folder.name, "folder", None)


def fingerprint(settings: ModelSettings) -> str:
    """SHA-256 of the names and contents of the folder's files, in hexadecimal.

    Raises:
        CheckpointError: the folder holds no checkpoint, or one that is too large.
    """
    return _content_hash(_folder(settings))


def _folder(settings: ModelSettings) -> Path:
    return check_size(check_folder(Path(settings.model).expanduser()), settings)


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        # A name on disk need not be UTF-8.
        digest.update(os.fsencode(path.relative_to(folder)) + f"\0{content}\n".encode())
    return digest.hexdigest()
