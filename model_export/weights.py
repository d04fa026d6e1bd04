"""Compares the weights in a checkpoint's files with those that a model has: transformers fills missing ones with random numbers and
drops unexpected ones, and says so only in its log. The headers of the files are enough for it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from runtime.engine.manifest import PAIR_TASKS

from .checkpoint import CONFIG_FILE, Checkpoint, Shape, safetensors_shapes
from .describe import Description
from .errors import CheckpointError
from .modules import LINEAR

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


def check_weights(model: "PreTrainedModel", checkpoint: Checkpoint, description: Description) -> None:
    """Check that the files of ``checkpoint`` have each weight of ``model``, and no others that it ought to compute with.

    Args:
        model: transformers' class for the checkpoint; its weights may be on torch's device ``meta``.

    Raises:
        CheckpointError: a file is missing or damaged; weights are missing, unexpected or of another shape; the message names some.
    """
    folder = checkpoint.folder / description.body
    needs_pooler = description.task in PAIR_TASKS
    expected: dict[str, Shape] = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {_renamed(name): shape for name, shape in tensor_shapes(folder).items()}
    if description.task == "multi_vector":
        found.pop(LINEAR, None)
    prefix = f"{model.base_model_prefix}."
    if any(name.startswith(prefix) for name in found) and not any(name.startswith(prefix) for name in expected):
        found = {name.removeprefix(prefix): shape for name, shape in found.items()}
    elif any(name.startswith(prefix) for name in expected) and not any(name.startswith(prefix) for name in found):
        found = {prefix + name: shape for name, shape in found.items()}
    missing = sorted(
        name
        for name in expected.keys() - found.keys()
        if (needs_pooler or not NOT_NEEDED.search(name)) and not _is_ignored(name, model._tied_weights_keys)
    )
    missing = [name for name in missing if not _is_ignored(name, model._keys_to_ignore_on_load_missing)]
    if missing:
        raise CheckpointError(f"{folder}: lacks weights that the model needs: {_some(missing)}")
    unexpected = sorted(
        name
        for name in found.keys() - expected.keys()
        if not HARMLESS.search(name) and not _is_ignored(name, model._keys_to_ignore_on_load_unexpected)
    )
    if unexpected:
        raise CheckpointError(
            f"{folder}: has weights that {type(model).__name__} does not compute with: {_some(unexpected)}; it is another kind of model"
        )
    _check_shapes(folder, expected, found)


def check_layers(checkpoint: Checkpoint, description: Description) -> None:
    """Check that the layers behind the transformer of ``checkpoint`` have the weights of their configuration, and fit each other.

    Raises:
        CheckpointError: a file is missing or damaged; a weight is missing, unexpected or of another shape; or a layer takes vectors
            of another length than it gets.
    """
    width = description.hidden * len(description.pooling)
    for layer in description.layers:
        folder = checkpoint.folder / layer.path
        found = tensor_shapes(folder)
        if layer.takes != width:
            raise CheckpointError(
                f"{folder / CONFIG_FILE}: takes {layer.takes} numbers; what comes before it gives {width}"
            )
        if missing := sorted(layer.shapes.keys() - found.keys()):
            raise CheckpointError(f"{folder}: lacks weights that its configuration has: {_some(missing)}")
        if unexpected := sorted(found.keys() - layer.shapes.keys()):
            raise CheckpointError(f"{folder}: has weights that its configuration does not have: {_some(unexpected)}")
        _check_shapes(folder, layer.shapes, found)
        width = layer.gives
    if description.task == "multi_vector" and not description.layers:
        folder = checkpoint.folder / description.body
        shape = tensor_shapes(folder).get(LINEAR)
        if shape is None:
            raise CheckpointError(f"{folder}: has no {LINEAR}, the layer behind a ColBERT's token vectors")
        if len(shape) != 2 or shape[1] != width:
            raise CheckpointError(
                f"{folder}: its weight {LINEAR} has the shape {list(shape)}; needed is [dimensions, {width}]"
            )


def tensor_shapes(folder: Path) -> dict[str, Shape]:
    """Shapes of the tensors in the weights' files of ``folder`` by name, from their headers alone where that is possible.

    Raises:
        CheckpointError: there are no files, or one is damaged.
    """
    if any(folder.glob("*.safetensors")):
        return safetensors_shapes(folder)
    pickles = sorted(folder.glob("pytorch_model*.bin"))
    if not pickles:
        raise CheckpointError(f"{folder}: has no weights (model.safetensors or pytorch_model.bin)")
    import torch

    shapes: dict[str, Shape] = {}
    for path in pickles:
        try:
            content = torch.load(path, map_location="meta", mmap=is_zipfile(path), weights_only=True)
            shapes |= {name: tuple(value.shape) for name, value in content.items()}
        except Exception as error:  # pickle, zipfile and torch each raise their own
            raise CheckpointError(f"{path}: is damaged ({error})") from error
    return shapes


def _check_shapes(folder: Path, expected: dict[str, Shape], found: dict[str, Shape]) -> None:
    for name in sorted(expected.keys() & found.keys()):
        if expected[name] != found[name]:
            raise CheckpointError(
                f"{folder}: its weight {name} has the shape {list(found[name])}; its configuration makes it {list(expected[name])}"
            )


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _is_ignored(name: str, patterns: list[str] | None) -> bool:
    return any(re.search(pattern, name) for pattern in patterns or ())


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
