"""The result of fetching a checkpoint, and the checks that all sources share.

A checkpoint may come from anybody. Nothing of it is read before :func:`check_folder` has accepted its entries, and its JSON files
are read with :func:`read_json` only, or by transformers.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from ..errors import CheckpointError

CONFIG_FILE = "config.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
MODULES_FILE = "modules.json"
PUBLISHED_FILE = "onnx/model.onnx"
"""The ONNX file in fp32 that many repositories publish; names of its data, if that is apart, start like it."""
UNOPENED = "special_tokens_map_file"
"""The key of ``tokenizer_config.json`` whose file transformers does not open. Many published checkpoints have a path of their
author's disk there."""
WEIGHT_INDEXES = ("*.safetensors.index.json", "*.bin.index.json")
NOTICES = ("LICENSE*", "NOTICE*")
"""Files that have to accompany the weights wherever those are copied."""
LARGEST_JSON = 2**24
"""Bytes of the largest JSON file that is read. The index of the weights of a model with 100,000 tensors has about 8 MB."""

Content = TypeVar("Content")


class _Index(msgspec.Struct):
    """Index of weights in several files."""

    weight_map: dict[str, str]
    """File by the name of a tensor."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this disk."""

    folder: Path
    id: str
    """Hub id where there is one, else the folder's name."""
    source: str
    """``hub``, ``folder`` or ``embedded``."""
    revision: str | None
    """Commit on the Hub, or version of the package that it was rebuilt from; None for a folder, whose fingerprint tells its content."""


def check_folder(folder: Path) -> Path:
    """The absolute path of ``folder``, which must hold a ``config.json`` or a ``modules.json``, and only files and folders that are
    inside it.

    Links may lead to the folder's own files, and in the Hub client's cache to its ``blobs``.

    Raises:
        CheckpointError: there is no such folder, both files are missing, a ``config.json`` is no JSON object, a link leads out of it, or
            an entry is neither a file nor a folder.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is not a folder")
    if not (folder / CONFIG_FILE).exists() and not (folder / MODULES_FILE).exists():
        raise CheckpointError(f"{folder}: is not a checkpoint: it has no {CONFIG_FILE}")
    allowed = [folder]
    if folder.parent.name == "snapshots":
        allowed.append(folder.parent.parent / "blobs")
    for path in folder.rglob("*"):
        try:
            target = path.resolve()
        except (OSError, RuntimeError) as error:  # links in a circle
            raise CheckpointError(f"{path}: cannot be followed ({error})") from error
        if not any(target.is_relative_to(root) for root in allowed):
            raise CheckpointError(f"{path}: is a link out of the checkpoint, to {target}; put a copy in its place")
        if not (target.is_file() or target.is_dir()):
            raise CheckpointError(f"{path}: is neither a file nor a folder")
    for each in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        _check_stated_paths(each)
    return folder


def is_known(model_type: str) -> bool:
    """Whether transformers has a class for the architecture ``model_type``, so that no Python of a checkpoint is needed."""
    from transformers import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def exported_types() -> list[str]:
    """The architectures that Optimum exports."""
    import optimum.exporters.onnx.model_configs  # noqa: F401  registers them
    from optimum.exporters.tasks import TasksManager

    return sorted(TasksManager.get_supported_model_type_for_task("feature-extraction", "onnx"))


def is_exported(model_type: str) -> bool:
    """Whether transformers has a class for the architecture ``model_type``, and Optimum an export of it."""
    return is_known(model_type) and model_type in exported_types()


def read_json(folder: Path, name: str, kind: type[Content], default: Content | None = None) -> Content:
    """The JSON file ``name`` of the checkpoint in ``folder``, converted to the type ``kind``; ``default`` if there is no such file.

    Raises:
        CheckpointError: the file is missing and there is no default; it is too large, not JSON in UTF-8, or not of the type. The
            message names the file and the field.
    """
    path = folder / name
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{path}: is too large: at most {LARGEST_JSON:,} bytes are read")
        content = msgspec.convert(json.loads(path.read_text("utf-8")), kind)
        # JSON can spell half of a surrogate pair, which is not text.
        msgspec.json.encode(content)
    except FileNotFoundError:
        if default is None:
            raise CheckpointError(f"{path}: is missing") from None
        return default
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{path}: is malformed ({error})") from error
    except RecursionError as error:
        raise CheckpointError(f"{path}: is nested too deeply") from error
    except ValueError as error:  # of the JSON, of UTF-8, or of a number with too many digits
        raise CheckpointError(f"{path}: is not JSON in UTF-8 ({error})") from error
    return content


def check_path(name: str, stated_by: Path) -> str:
    """``name``, a path that the checkpoint's file ``stated_by`` states.

    Raises:
        CheckpointError: it is absolute, has ``..`` in it, or characters that are not printable.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise CheckpointError(f"{stated_by}: names the file {name!r}; only paths inside the checkpoint are allowed")
    return name


def _check_stated_paths(folder: Path) -> None:
    """Check the paths that transformers follows: of weights, and of a tokenizer's files, which it prefers to the folder's own."""
    config = read_json(folder, CONFIG_FILE, dict[str, Any], {})
    tokenizer = read_json(folder, TOKENIZER_CONFIG_FILE, dict[str, Any], {})
    stated = [(CONFIG_FILE, config.get("transformers_weights"))]
    for key, names in tokenizer.items():
        if key.endswith(("_file", "_files", "_spm")) and key != UNOPENED:
            stated += [(TOKENIZER_CONFIG_FILE, name) for name in (names if isinstance(names, list) else [names])]
    for index in (path for pattern in WEIGHT_INDEXES for path in folder.glob(pattern)):
        stated += [(index.name, name) for name in read_json(folder, index.name, _Index).weight_map.values()]
    for file, name in stated:
        if isinstance(name, str):
            check_path(name, folder / file)
