"""Checkpoints on the Hugging Face Hub."""

import os
import re
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from configuration.groups import EMBEDDED, ModelSettings

from ..errors import CheckpointError
from ..progress import step
from .checkpoint import (
    CONFIG_FILE,
    MODULES_FILE,
    NOTICES,
    PUBLISHED_FILE,
    Checkpoint,
    check_folder,
    check_path,
    is_exported,
    read_json,
)
from .size import check_size

PICKLE = re.compile(r"(^|/)pytorch_model[^/]*\.bin$")
OTHER_WAYS = f"Two other ways: the path of a folder that holds the checkpoint, or {EMBEDDED!r}, which needs no Hub."


def fingerprint(settings: ModelSettings) -> str:
    """The id, with the branch, tag or commit that the settings name."""
    return settings.model


def fetch(settings: ModelSettings) -> Checkpoint:
    """Download the checkpoint, or take it from the Hub client's cache.

    Raises:
        CheckpointError: the Hub cannot be reached, has no such model or revision, or refuses access; or the model is too large.
    """
    import requests
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    model, revision = settings.name, settings.revision
    at = f" at revision {revision!r}" if revision else ""
    try:
        with step(f"fetching {model}{at} from the Hugging Face Hub"):
            info = HfApi().model_info(model, revision=revision)
            files = [sibling.rfilename for sibling in info.siblings]
            folder = snapshot_download(model, revision=info.sha, allow_patterns=_texts(files))
            weights = _weights(files, check_folder(Path(folder)))
            folder = snapshot_download(model, revision=info.sha, allow_patterns=weights)
    except HFValidationError as error:
        raise CheckpointError(f"model: {model!r} is not a Hub id ({error}). {OTHER_WAYS}") from error
    except GatedRepoError as error:
        raise CheckpointError(
            f"{model}: its owner must grant you access first; then set HF_TOKEN. {OTHER_WAYS}"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{model}: the Hub has no revision {revision!r} of it") from error
    except RepositoryNotFoundError as error:
        private = (
            "is your HF_TOKEN allowed to read it?" if os.environ.get("HF_TOKEN") else "if it is private, set HF_TOKEN."
        )
        raise CheckpointError(f"{model}: the Hub has no such model; {private} {OTHER_WAYS}") from error
    except (LocalEntryNotFoundError, requests.ConnectionError, requests.Timeout) as error:
        raise CheckpointError(
            f"{model}: the Hugging Face Hub cannot be reached ({_root(error)}). {OTHER_WAYS}"
        ) from error
    except HfHubHTTPError as error:
        raise CheckpointError(f"{model}: the Hugging Face Hub answered {error}. {OTHER_WAYS}") from error
    return Checkpoint(check_size(check_folder(Path(folder)), settings), model, "hub", info.sha)


class _Module(msgspec.Struct):
    """An entry of ``modules.json``, of which only the place matters here."""

    path: str


def _texts(files: list[str]) -> list[str]:
    """The files of a repository that say what its model is, and its licences. No Python, which never runs."""
    texts = (".json", ".txt", ".model")
    return [
        file
        for file in files
        if (file.endswith(texts) and not file.startswith(("onnx/", "openvino/")))
        or any(fnmatch(file, pattern) for pattern in NOTICES)
    ]


def _weights(files: list[str], folder: Path) -> list[str]:
    """The files of a repository whose weights an export reads, in one format and no other library's.

    Args:
        folder: its other files.

    Raises:
        CheckpointError: one of those is malformed.
    """
    modules = read_json(folder, MODULES_FILE, list[_Module], [])
    paths = [PurePosixPath(check_path(module.path, folder / MODULES_FILE)) for module in modules] or [PurePosixPath()]
    body = paths[0]
    config = read_json(folder / body, CONFIG_FILE, dict[str, Any], {})
    exported = is_exported(str(config.get("model_type")))
    published = []
    if config and (config.get("auto_map") or not exported):
        published = [file for file in files if file.startswith(PUBLISHED_FILE)]
    if published and not exported:  # it takes the place of the transformer's weights
        paths.remove(body)
    return published + [file for path in dict.fromkeys(paths) for file in _inside(files, path)]


def _inside(files: list[str], folder: PurePosixPath) -> list[str]:
    """The weights in ``folder``: safetensors, or else pickles."""
    inside = [file for file in files if PurePosixPath(file).parent == folder]
    return [file for file in inside if file.endswith(".safetensors")] or [
        file for file in inside if PICKLE.search(file)
    ]


def _root(error: BaseException) -> str:
    """The error at the end of the chain, which says what happened on the network."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {error}"
