"""How long an answer can get, and what of it Lambda lets through.

A request for vectors that would not fit is refused before they are computed, by a bound on their bytes. :func:`check` has the
last word, on the answer as it is sent.
"""

import json
from collections.abc import Sequence
from itertools import accumulate

from ..engine.manifest import Manifest
from ..service.errors import InvalidInput
from ..service.options import OutputPrecision
from .messages import Response

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
"""Most bytes of a number in an answer."""
WORD_BYTES = 48
"""Most bytes of a sparse model's word in an answer: ``{"index":250000,"value":0.123456789},``, with spaces in a direct invocation."""
USUAL_WORDS = 1024
"""Words with a weight of a text; trained models give some hundred. Only their number is not bounded beforehand."""
GZIPPED_SHARE = 0.46
"""Part of these bytes that vectors take when they are compressed, and in base64, as a Function URL sends them. This is no
bound: random unit vectors of 128 to 4,096 dimensions took 0.41 to 0.43, other precisions less, vectors of length 0.0001 0.47."""


def vector_bytes(dimensions: int, precision: OutputPrecision, *, base64: bool = False, gzip: bool = False) -> float:
    """Bytes that one vector takes in an answer: at most, or with ``gzip`` as measured."""
    if base64:
        return ITEM_BYTES + 4 * -(-4 * dimensions // 3)
    numbers = -(-dimensions // 8) if precision.endswith("binary") else dimensions
    return (ITEM_BYTES + numbers * NUMBER_BYTES[precision]) * (GZIPPED_SHARE if gzip else 1)


def fitting_vectors(dimensions: int, precision: OutputPrecision, *, base64: bool = False, gzip: bool = False) -> int:
    """How many vectors an answer holds."""
    return int(ANSWER_BYTES // vector_bytes(dimensions, precision, base64=base64, gzip=gzip))


def fitting_texts(manifest: Manifest) -> int:
    """How many texts' results an answer holds, as numbers that are not compressed; for a sparse model as a rule."""
    if manifest.task == "sparse":
        return int(ANSWER_BYTES // (USUAL_WORDS * WORD_BYTES))
    if manifest.task == "multi_vector":
        return max(1, fitting_vectors(manifest.hidden, "float32") // manifest.max_tokens)
    return fitting_vectors(manifest.dimensions, "float32")


def check_vectors(
    count: int, dimensions: int, precision: OutputPrecision, *, gzip: bool | None, base64: bool | None = None
) -> None:
    """Check that the answer with ``count`` vectors fits.

    ``gzip`` says whether the client accepts it; it is None where an answer cannot be compressed. ``base64`` is None on a route
    without that encoding.

    Raises:
        InvalidInput: the answer may be too long; the message says how many vectors fit.
    """
    fit = fitting_vectors(dimensions, precision, base64=bool(base64), gzip=bool(gzip))
    if count <= fit:
        return
    advice = f"of {count} vectors of {dimensions} dimensions {fit} fit, send them in several requests"
    if gzip is False and not base64:
        advice += f"; with `Accept-Encoding: gzip` {fitting_vectors(dimensions, precision, gzip=True)} fit"
    if base64 is False and precision == "float32":
        advice += f"; of `encoding_format` base64 {fitting_vectors(dimensions, precision, base64=True)} fit"
    raise _does_not_fit(advice)


def check_token_vectors(lengths: Sequence[int], hidden: int, *, gzip: bool | None) -> None:
    """Check that the answer with the token vectors of texts with these lengths, in tokens, fits.

    Raises:
        InvalidInput: the answer may be too long; the message says how many texts fit.
    """
    size = vector_bytes(hidden, "float32", gzip=bool(gzip))
    fit = sum(length * size <= ANSWER_BYTES for length in accumulate(lengths))
    if fit < len(lengths):
        raise _does_not_fit(f"of {len(lengths)} texts with {sum(lengths)} tokens the first {fit} fit")


def check(response: Response) -> None:
    """Check that ``response`` fits as it is.

    Raises:
        InvalidInput: it is too long; the message says how many texts fit, if the answer is about texts.
    """
    size = len(response.body)
    if "content-encoding" in response.headers:
        size = 4 * -(-size // 3)
    elif size > ANSWER_BYTES // LONGEST_ESCAPE:
        size = len(json.dumps(response.body.decode()))
    if size <= ANSWER_BYTES:
        return
    texts = response.usage.texts if response.usage else 1
    about = f"of {texts} texts about {texts * ANSWER_BYTES // size} fit, " if texts > 1 else ""
    raise _does_not_fit(f"{about}send less in one request")


def _does_not_fit(advice: str) -> InvalidInput:
    return InvalidInput(
        f"the answer would not fit in the {LAMBDA_PAYLOAD_BYTES} bytes that Lambda lets through: {advice}",
        param="inputs",
    )
