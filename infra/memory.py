"""How much memory a model needs, from what was measured at its export; rejects a function that is too small."""

from math import ceil

from configuration.errors import ConfigurationError
from configuration.groups import LARGEST_MEMORY_MB
from runtime.engine.manifest import MARGIN_PERCENT, ArtifactError, Manifest


def needed_memory_mb(manifest: Manifest) -> int:
    """Return the memory that a function needs to answer any request that the limits allow, in MiB.

    This is the larger of the two peaks in the manifest, with ``MARGIN_PERCENT`` added, rounded up.

    Raises:
        ArtifactError: the manifest has no measurement.
    """
    return max(_needs(manifest))[0]


def check_memory(manifest: Manifest, memory_mb: int, option: str = "memory_mb", more_mb: int = 0) -> None:
    """Reject a memory size that is too small for the model, before anything is deployed.

    Args:
        manifest: The model's manifest.
        memory_mb: Memory of the function in MiB.
        option: Name of the option that sets it.
        more_mb: MiB that the function needs besides.

    Raises:
        ConfigurationError: it is too small. The message says how much is needed, for what, and what is allowed.
        ArtifactError: the manifest has no measurement.
    """
    needed, use, remedy = max(_needs(manifest))
    needed += more_mb
    if memory_mb >= needed:
        return
    reason = f"{memory_mb} is too little for {manifest.model.id}: {use} needs {needed} MiB"
    if needed > LARGEST_MEMORY_MB:
        raise ConfigurationError(
            f"{option}: {reason}, and Lambda has at most {LARGEST_MEMORY_MB}. No memory size suffices: {remedy}"
        )
    raise ConfigurationError(f"{option}: {reason}. Allowed: {needed} to {LARGEST_MEMORY_MB}; or {remedy}")


def _needs(manifest: Manifest) -> list[tuple[int, str, str]]:
    """A use of memory: how much it needs in MiB, its description, and how to make it need less."""
    memory = manifest.memory
    if memory is None:
        raise ArtifactError(
            f"artifact {manifest.key}: its manifest does not say how much memory it needs; remove its folder, and build "
            "the artifact again"
        )
    return [
        (
            _with_margin(memory.longest_text_mb),
            f"embedding a text of {manifest.max_tokens} tokens",
            "set a smaller max_tokens",
        ),
        (
            _with_margin(memory.worst_text_mb),
            "tokenizing the text that takes most memory",
            "set a smaller max_tokens, or serve a model with a smaller tokenizer",
        ),
    ]


def _with_margin(peak_mb: int) -> int:
    return ceil(peak_mb * (100 + MARGIN_PERCENT) / 100)
