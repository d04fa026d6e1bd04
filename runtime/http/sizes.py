"""How long an answer can get. Lambda drops one that exceeds its limit, so a request for it is refused before it is computed.

The sizes are upper bounds, so that every answer that is let through fits.
"""

import json
from collections.abc import Sequence
from itertools import accumulate

from ..service.errors import InvalidInput
from ..service.options import OutputPrecision

LAMBDA_PAYLOAD_BYTES = 6 * 1024 * 1024
"""Most bytes of one invocation, each way (AWS Lambda quotas, "Invocation payload")."""
ENVELOPE_BYTES = 4096
"""Headers and the frame of a Function URL's answer, or of OpenAI's list."""
ANSWER_BYTES = LAMBDA_PAYLOAD_BYTES - ENVELOPE_BYTES
LONGEST_ESCAPE = 6
"""A byte of a body becomes at most this many in the JSON that Lambda sends on: ``\\u0000``."""
ITEM_BYTES = 80
"""Around one vector: brackets, or the fields of OpenAI's embedding object with their quotes escaped in the event."""
NUMBER_BYTES: dict[OutputPrecision, int] = {
    # In a body -0.0000063184107 and a comma; in the result of a direct invocation -1.04688755e-08, a comma and a space.
    "float32": 17,
    "int8": 6,
    "uint8": 5,
    "binary": 6,
    "ubinary": 5,
}


def vector_bytes(dimensions: int, precision: OutputPrecision, base64: bool = False) -> int:
    """Most bytes of one vector in an answer."""
    if base64:
        return ITEM_BYTES + 4 * -(-4 * dimensions // 3)
    numbers = -(-dimensions // 8) if precision.endswith("binary") else dimensions
    return ITEM_BYTES + numbers * NUMBER_BYTES[precision]


def check_vectors(count: int, dimensions: int, precision: OutputPrecision, base64: bool | None = None) -> None:
    """Check that the answer with ``count`` vectors fits. ``base64`` is None on a route without that encoding.

    Raises:
        InvalidInput: the answer may be too long; the message says how many vectors fit.
    """
    fit = ANSWER_BYTES // vector_bytes(dimensions, precision, bool(base64))
    if count <= fit:
        return
    advice = f"of {count} vectors of {dimensions} dimensions {fit} fit, send them in several requests"
    if base64 is False and precision == "float32":
        advice += f"; of `encoding_format` base64 {ANSWER_BYTES // vector_bytes(dimensions, precision, True)} fit"
    raise _does_not_fit(advice)


def check_token_vectors(lengths: Sequence[int], hidden: int) -> None:
    """Check that the answer with the token vectors of texts with these lengths, in tokens, fits.

    Raises:
        InvalidInput: the answer may be too long; the message says how many texts fit.
    """
    sizes = accumulate(length * (ITEM_BYTES + hidden * NUMBER_BYTES["float32"]) for length in lengths)
    fit = sum(size <= ANSWER_BYTES for size in sizes)
    if fit < len(lengths):
        raise _does_not_fit(f"of {len(lengths)} texts with {sum(lengths)} tokens the first {fit} fit")


def check_body(body: bytes) -> None:
    """Check that an answer with this body fits, for routes whose answers have no size that is known before.

    Raises:
        InvalidInput: the answer is too long.
    """
    if len(body) > ANSWER_BYTES // LONGEST_ESCAPE and len(json.dumps(body.decode())) > ANSWER_BYTES:
        raise _does_not_fit("send less in one request")


def _does_not_fit(advice: str) -> InvalidInput:
    return InvalidInput(
        f"the answer would not fit in the {LAMBDA_PAYLOAD_BYTES} bytes that Lambda lets through: {advice}",
        param="inputs",
    )
