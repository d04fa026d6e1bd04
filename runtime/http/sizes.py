"""How long an answer can get, told before it is computed: Lambda drops one that does not fit its limit.

The sizes are upper bounds, so that what is let through always fits.
"""

from collections.abc import Sequence
from itertools import accumulate

from ..service.errors import InvalidInput
from ..settings import LAMBDA_PAYLOAD_BYTES

ENVELOPE_BYTES = 4096
"""Headers and the frame of a Function URL's answer, or of OpenAI's list."""
ANSWER_BYTES = LAMBDA_PAYLOAD_BYTES - ENVELOPE_BYTES
ITEM_BYTES = 80
"""Around one vector: brackets, or the fields of OpenAI's embedding object with their quotes escaped in the event."""
NUMBER_BYTES = {
    # In a body -0.0000063184107 and a comma; in the result of a direct invocation -1.04688755e-08, a comma and a space.
    "float32": 17,
    "int8": 6,
    "uint8": 5,
    "binary": 6,
    "ubinary": 5,
}


def vector_bytes(dimensions: int, precision: str, base64: bool = False) -> int:
    """The most bytes that one vector takes in an answer."""
    if base64:
        return ITEM_BYTES + 4 * -(-4 * dimensions // 3)
    numbers = -(-dimensions // 8) if precision.endswith("binary") else dimensions
    return ITEM_BYTES + numbers * NUMBER_BYTES[precision]


def check_vectors(count: int, dimensions: int, precision: str, base64: bool | None = None) -> None:
    """Raise if the answer with ``count`` vectors may not fit; ``base64`` is None where a client cannot ask for it."""
    fit = ANSWER_BYTES // vector_bytes(dimensions, precision, bool(base64))
    if count <= fit:
        return
    advice = f"of {count} vectors of {dimensions} dimensions {fit} fit, send them in several requests"
    if base64 is False and precision == "float32":
        advice += f"; of `encoding_format` base64 {ANSWER_BYTES // vector_bytes(dimensions, precision, True)} fit"
    raise does_not_fit(advice)


def check_token_vectors(lengths: Sequence[int], hidden: int) -> None:
    """Raise if the answer with the vectors of texts of so many tokens may not fit."""
    sizes = accumulate(length * (ITEM_BYTES + hidden * NUMBER_BYTES["float32"]) for length in lengths)
    fit = sum(size <= ANSWER_BYTES for size in sizes)
    if fit < len(lengths):
        raise does_not_fit(f"of {len(lengths)} texts with {sum(lengths)} tokens the first {fit} fit")


def does_not_fit(advice: str) -> InvalidInput:
    """The error for an answer that is too long; ``advice`` says what would fit."""
    return InvalidInput(
        f"the answer would not fit in the {LAMBDA_PAYLOAD_BYTES} bytes that Lambda lets through: {advice}",
        param="inputs",
    )
