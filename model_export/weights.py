"""Compares the weights in a checkpoint's files with those that a loaded model has: transformers fills missing ones with random
numbers and drops unexpected ones, and says so only in its log."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from .errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NOT_NEEDED = re.compile(r"(^|\.)pooler\.|^cls\.seq_relationship\.")
"""Weights that token vectors and our heads do not pass through, so that it does not matter if they are missing. A classifier's pooler
does matter: see :func:`check_weights`."""
HARMLESS = re.compile(
    r"(^|\.)(pooler|position_ids|inv_freq|masked_bias)(\.|$)|^(cls|lm_head|mlm|mlm_head|vocab_\w+|generator\w*|discriminator_predictions"
    r"|lm_predictions|mask_predictions|embeddings_project|decoder|predictions|head)\."
)
"""Unexpected weights that an embedding model may have: buffers that transformers computes anew, and what its pretraining predicted
words with."""
RENAMED = ((re.compile(r"\.gamma$"), ".weight"), (re.compile(r"\.beta$"), ".bias"))
"""Old names of layer normalization's weights, which transformers renames."""


def check_weights(
    model: "PreTrainedModel", names: set[str], folder: Path, needs_pooler: bool = False, ignore: tuple[str, ...] = ()
) -> None:
    """Check that the files in ``folder`` have each weight of ``model``, and no others that it ought to compute with.

    Args:
        names: what :func:`tensor_names` found in ``folder``.
        needs_pooler: whether the result passes through the model's pooler.
        ignore: names of weights that another module computes with.

    Raises:
        CheckpointError: weights are missing or unexpected; the message names some.
    """
    expected = set(model.state_dict())
    found = {_renamed(name) for name in names - set(ignore)}
    prefix = f"{model.base_model_prefix}."
    if any(name.startswith(prefix) for name in found) and not any(name.startswith(prefix) for name in expected):
        found = {name.removeprefix(prefix) for name in found}
    elif any(name.startswith(prefix) for name in expected) and not any(name.startswith(prefix) for name in found):
        found = {prefix + name for name in found}
    missing = sorted(
        name
        for name in expected - found
        if (needs_pooler or not NOT_NEEDED.search(name)) and not _is_ignored(name, model._tied_weights_keys)
    )
    missing = [name for name in missing if not _is_ignored(name, model._keys_to_ignore_on_load_missing)]
    if missing:
        raise CheckpointError(f"{folder}: lacks weights that the model needs: {_some(missing)}")
    unexpected = sorted(
        name
        for name in found - expected
        if not HARMLESS.search(name) and not _is_ignored(name, model._keys_to_ignore_on_load_unexpected)
    )
    if unexpected:
        raise CheckpointError(
            f"{folder}: has weights that {type(model).__name__} does not compute with: {_some(unexpected)}; it is another kind of model"
        )


def tensor_names(folder: Path) -> set[str]:
    """Names of the tensors in the weights' files of ``folder``, from their headers alone where that is possible.

    Raises:
        CheckpointError: there are no files, or one is damaged.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    safetensors, pickles = sorted(folder.glob("*.safetensors")), sorted(folder.glob("pytorch_model*.bin"))
    if not safetensors and not pickles:
        raise CheckpointError(f"{folder}: has no weights (model.safetensors or pytorch_model.bin)")
    names: set[str] = set()
    for path in safetensors:
        try:
            with safe_open(path, "pt") as file:
                names.update(file.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: is damaged ({error})") from error
    for path in pickles if not safetensors else ():
        try:
            names.update(torch.load(path, map_location="meta", mmap=is_zipfile(path), weights_only=True))
        except Exception as error:  # pickle, zipfile and torch each raise their own
            raise CheckpointError(f"{path}: is damaged ({error})") from error
    return names


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _is_ignored(name: str, patterns: list[str] | None) -> bool:
    return any(re.search(pattern, name) for pattern in patterns or ())


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
