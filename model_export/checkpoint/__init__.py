"""Checkpoints: a model's weights, tokenizer and configuration, as a folder in the Hub's layout.

A checkpoint comes from the Hub, from a local folder, or is ``embedded``: one module each, with the same two functions.
"""

from types import ModuleType

from configuration.groups import EMBEDDED, ModelSettings, is_folder

from . import embedded, folder, hub
from .checkpoint import (
    CONFIG_FILE,
    MODULES_FILE,
    NOTICES,
    PUBLISHED_FILE,
    TOKENIZER_CONFIG_FILE,
    Checkpoint,
    check_path,
    exported_types,
    is_exported,
    is_known,
    read_json,
)
from .size import Shape, count_parameters, safetensors_shapes

__all__ = [
    "CONFIG_FILE",
    "MODULES_FILE",
    "NOTICES",
    "PUBLISHED_FILE",
    "TOKENIZER_CONFIG_FILE",
    "Checkpoint",
    "Shape",
    "check_path",
    "count_parameters",
    "exported_types",
    "fetch",
    "fingerprint",
    "is_exported",
    "is_known",
    "read_json",
    "safetensors_shapes",
]


def fetch(settings: ModelSettings) -> Checkpoint:
    """Get the checkpoint that ``settings`` names.

    Raises:
        CheckpointError: it cannot be had, or a file of it is missing or damaged.
    """
    return _source(settings).fetch(settings)


def fingerprint(settings: ModelSettings) -> str:
    """A string that differs between two checkpoints, found without fetching or loading them.

    The commit or branch for the Hub, a hash of a folder's files, the version of the embedded package.

    Raises:
        CheckpointError: the folder holds no checkpoint.
    """
    return _source(settings).fingerprint(settings)


def _source(settings: ModelSettings) -> ModuleType:
    if settings.model == EMBEDDED:
        return embedded
    return folder if is_folder(settings.model) else hub
