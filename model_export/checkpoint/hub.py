"""Checkpoints on the Hugging Face Hub."""

import os
import re
from pathlib import Path

from configuration.groups import EMBEDDED, ModelSettings

from ..errors import CheckpointError
from ..progress import step
from .checkpoint import PUBLISHED_FILE, Checkpoint, check_folder, is_known
from .size import check_size

MODULE = re.compile(r"\d+_\w+/")
"""A file in the folder of one of sentence-transformers' modules."""
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
            model_type = (info.config or {}).get("model_type")  # of config.json, as far as the Hub shows it
            needs_python = model_type is not None and not is_known(model_type)
            files = _wanted([sibling.rfilename for sibling in info.siblings], published=needs_python)
            folder = snapshot_download(model, revision=info.sha, allow_patterns=files)
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


def _wanted(files: list[str], published: bool = False) -> list[str]:
    """The files of a repository that an export reads: weights in one format, and no other library's. No Python, which never runs.

    ``published``: whether the ONNX file that the repository publishes takes the place of the weights.
    """
    weights = []
    for folder in sorted({file.rpartition("/")[0] for file in files if MODULE.match(file)} | {""}):
        inside = [file for file in files if file.rpartition("/")[0] == folder]
        names = [file for file in inside if file.endswith(".safetensors")]
        weights += names or [file for file in inside if PICKLE.search(file)]
    if published and (own := [file for file in files if file.startswith(PUBLISHED_FILE)]):
        weights = [*own, *(file for file in weights if "/" in file)]
    texts = (".json", ".txt", ".model")
    others = [file for file in files if file.endswith(texts) and not file.startswith(("onnx/", "openvino/"))]
    return weights + others


def _root(error: BaseException) -> str:
    """The error at the end of the chain, which says what happened on the network."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {error}"
