"""How much memory a model needs, estimated from its manifest: too small a function is told apart before it is deployed."""

from configuration.errors import ConfigurationError
from runtime.engine.manifest import Manifest

PROCESS_MB = 90
"""Interpreter, numpy, onnxruntime and the handler, before a model."""
KITOKEN_FACTOR = 3
"""Memory of a loaded kitoken tokenizer over the size of its file."""
TOKENIZERS_FACTOR = 20
"""The same for one of ``tokenizers``: 300 MiB for the 16 MiB of multilingual-e5-small. It is loaded late where there is a kitoken
tokenizer, but any caller can make the function do so: by ``/tokenize``, or by a text with ``<s>`` in it."""
ACTIVATION_COPIES = 12
"""Buffers of tokens x hidden that onnxruntime holds at a time; the widest layer of a transformer is four of them."""
ATTENTION_COPIES = 2 * 12
"""Buffers of tokens x tokens: scores and their softmax for each head (12 in the models of this size)."""
MIB = 1024 * 1024


def needed_memory_mb(manifest: Manifest) -> int:
    """Estimate of the memory that the longest text and every route need, in MiB::

        90 + model files + 3 x tokenizer.kit + 20 x tokenizer.json
           + 4 bytes x (12 x tokens x hidden + 24 x tokens x tokens)

    The weights count in full, although most of them are mapped and only those read are resident.
    """
    weights = sum(file.bytes for name, file in manifest.files.items() if name.startswith("model."))
    tokenizer = TOKENIZERS_FACTOR * manifest.files["tokenizer.json"].bytes
    if manifest.tokenizer.kind == "kitoken":
        tokenizer += KITOKEN_FACTOR * manifest.files["tokenizer.kit"].bytes
    tokens = manifest.max_tokens
    activations = 4 * (ACTIVATION_COPIES * tokens * manifest.hidden + ATTENTION_COPIES * tokens * tokens)
    return PROCESS_MB + round((weights + tokenizer + activations) / MIB)


def check_memory(manifest: Manifest, memory_mb: int) -> None:
    """Refuse a function that is too small for its model.

    Raises:
        ConfigurationError: it is; the message says how much the model needs, and why.
    """
    needed = needed_memory_mb(manifest)
    if memory_mb < needed:
        raise ConfigurationError(
            f"memory_mb: {memory_mb} is too little for {manifest.model.id}: it needs about {needed} MiB with texts of "
            f"{manifest.max_tokens} tokens (see infra/memory.py). Allowed: {needed} to 10240; or set a smaller max_tokens"
        )
