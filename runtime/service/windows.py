"""Windows: a text longer than the model reads is cut into overlapping parts, and its vector is the mean of theirs."""

from itertools import takewhile

import numpy as np

from .errors import InvalidInput
from .limits import Limits

OVERLAP = 64
"""Default number of tokens that neighbouring windows share."""


def choose_overlap(wanted: int | None, room: int) -> int:
    """Tokens that neighbouring windows of texts share: ``wanted``, or by default at most half of the ``room`` in a window.

    Raises:
        InvalidInput: ``wanted`` is negative or not less than ``room``.
    """
    if wanted is None:
        return min(OVERLAP, room // 2)
    if not 0 <= wanted < room:
        raise InvalidInput(f"the overlap of windows must be at least 0 and less than {room} tokens. Given: {wanted}")
    return wanted


def split(
    content: list[int], prompt: list[int], room: int, overlap: int, *, model_tokens: int, limits: Limits
) -> list[list[int]]:
    """Cut the tokens ``content`` into windows of at most ``room`` tokens; neighbours share ``overlap`` tokens.

    Every window starts with the tokens of ``prompt``, the text that ``content`` starts with.

    Raises:
        InvalidInput: ``overlap`` leaves no room beside the prompt, or the windows, with up to ``model_tokens`` tokens each,
            would have more tokens than ``limits`` allow.
    """
    # The tokenizer may merge the prompt's last token with the text, so only the tokens that both start with are the prompt's.
    pairs = zip(prompt, content, strict=False)
    head = [token for token, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    rest, size = content[len(head) :], room - len(head)
    if overlap >= size:
        raise InvalidInput(
            f"`window_overlap` must be less than the {size} tokens of a window. Given: {overlap}",
            param="window_overlap",
        )
    starts = range(0, len(rest) - overlap, size - overlap)
    # Checked before the windows are made, because a large overlap makes very many of them.
    limits.check_tokens(len(starts) * model_tokens - size, 1, 1)
    return [head + rest[start : start + size] for start in starts]


def mean(vectors: list[np.ndarray], windows: list[list[int]]) -> np.ndarray:
    """The mean of the windows' vectors, weighted by the windows' lengths: float32 [dimensions]."""
    if len(vectors) == 1:
        return vectors[0]
    return np.average(vectors, axis=0, weights=[len(window) for window in windows]).astype(np.float32)
