"""The texts that are embedded: of known lengths, and the same for every peer."""

from collections.abc import Callable, Iterator

from model_export.texts import TEXTS

LENGTHS = (16, 128, 512)
"""Tokens of a short text, a paragraph, and the longest text that the model reads."""

BATCH_LENGTHS = tuple(8 * step for step in range(1, 33))
"""Tokens of each text in the mixed batch of 32: 8 to 256."""

BATCH = "batch"


def load_name(load: str) -> str:
    """What documents call a load: a length in tokens, or :data:`BATCH`."""
    return f"batch of {len(BATCH_LENGTHS)}" if load == BATCH else f"{load} tokens"


def loads(count_tokens: Callable[[str], int]) -> dict[str, list[str]]:
    """Return the texts of each load by its name: a length in tokens, or :data:`BATCH`."""
    source = "passage: " + " ".join(TEXTS) * 2
    return {str(length): [_text(source, length, count_tokens)] for length in LENGTHS} | {
        BATCH: [
            _text(source[37 * index :], length, count_tokens) for index, length in enumerate(_shuffled(BATCH_LENGTHS))
        ]
    }


def _shuffled(lengths: tuple[int, ...]) -> Iterator[int]:
    """Mix long and short ones, the same way each time."""
    return (lengths[index * 7 % len(lengths)] for index in range(len(lengths)))


def _text(source: str, length: int, count_tokens: Callable[[str], int]) -> str:
    """Return the longest beginning of ``source`` with at most ``length`` tokens, special tokens included."""
    low, high = 1, len(source)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count_tokens(source[:middle]) <= length else (low, middle - 1)
    return source[:low]
