"""Checks a checkpoint by its configuration and the headers of its files, before any weight is loaded."""

from typing import TYPE_CHECKING

from ..checkpoint import CONFIG_FILE, Checkpoint
from ..describe import Description
from ..errors import CheckpointError, UnsupportedModelError
from ..export import check_architecture, encoder_class, silence_libraries
from ..weights import check_layers, check_weights
from .published import check_published

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

CLASSES = {
    "embed": "AutoModel",
    "multi_vector": "AutoModel",
    "sparse": "AutoModelForMaskedLM",
    "classify": "AutoModelForSequenceClassification",
    "rerank": "AutoModelForSequenceClassification",
}
"""transformers' class that sentence-transformers loads, by task."""


def check_original(checkpoint: Checkpoint, description: Description) -> None:
    """Check that the original of ``checkpoint`` can be loaded and exported, as far as that can be known without its weights.

    Raises:
        CheckpointError: a file is missing or damaged, or its weights are not those of its class.
        UnsupportedModelError: transformers or Optimum does not have the architecture, or a published ONNX file is of another kind.
    """
    silence_libraries()
    if description.published:
        check_published(checkpoint, description)
        return
    check_layers(checkpoint, description)
    if description.static:  # its one table was found when the checkpoint was described
        return
    from transformers import AutoConfig

    folder = checkpoint.folder / description.body
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts raise
        raise UnsupportedModelError(f"{folder / CONFIG_FILE}: transformers cannot read it ({error})") from error
    check_architecture(checkpoint.id, config, description.task)
    try:
        model = _empty(config, description.task)
    except Exception as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: transformers makes no model of it ({error})") from error
    check_weights(model, checkpoint, description)


def _empty(config: "PretrainedConfig", task: str) -> "PreTrainedModel":
    """The model that sentence-transformers would load, without weights: of T5 and its kin the encoder alone."""
    import torch
    import transformers

    encoder = encoder_class(config, task)
    with torch.device("meta"):
        if encoder:
            return encoder(config)
        return getattr(transformers, CLASSES[task]).from_config(config, trust_remote_code=False)
