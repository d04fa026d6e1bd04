"""How much memory a model needs, estimated from its manifest: too small a function is told apart before it is deployed."""

from pathlib import Path

from model_export.errors import ConfigurationError
from runtime.manifest import Manifest, read_manifest

PROCESS_MB = 90
"""Interpreter, numpy, onnxruntime and the handler, before a model."""
TOKENIZER_FACTOR = 3
"""Memory of a loaded tokenizer over the size of its file."""
ACTIVATION_COPIES = 12
"""Buffers of tokens x hidden that onnxruntime holds at a time; the widest layer of a transformer is four of them."""
ATTENTION_COPIES = 2 * 12
"""Buffers of tokens x tokens: scores and their softmax for each head (12 in the models of this size)."""
MIB = 1024 * 1024


def needed_memory_mb(manifest: Manifest) -> int:
    """Estimate of the memory that the longest text needs, in MiB::

        90 + all files but tokenizer.json + 3 x tokenizer
           + 4 bytes x (12 x tokens x hidden + 24 x tokens x tokens)

    The weights count in full, although most of them are mapped and only those read are resident.
    """
    tokenizer_file = "tokenizer.kit" if manifest.tokenizer.kind == "kitoken" else "tokenizer.json"
    weights = sum(file.bytes for name, file in manifest.files.items() if name.startswith("model."))
    tokenizer = TOKENIZER_FACTOR * manifest.files[tokenizer_file].bytes
    tokens = manifest.max_tokens
    activations = 4 * (ACTIVATION_COPIES * tokens * manifest.hidden + ATTENTION_COPIES * tokens * tokens)
    return PROCESS_MB + round((weights + tokenizer + activations) / MIB)


def check_memory(artifact: Path, memory_mb: int) -> None:
    """Refuse a function that is too small for its model.

    Raises:
        ConfigurationError: it is; the message says how much the model needs, and why.
    """
    manifest = read_manifest(artifact)
    needed = needed_memory_mb(manifest)
    if memory_mb < needed:
        raise ConfigurationError(
            f"memory_mb: {memory_mb} is too little for {manifest.model.id}: it needs about {needed} MiB with texts of "
            f"{manifest.max_tokens} tokens (see infra/memory.py). Allowed: {needed} to 10240; or set a smaller max_tokens"
        )
