"""The texts that parity and fidelity are tested on: none of those that quantization was designed or is verified with."""

from tests.texts import EVERYDAY, LANGUAGES

_SENTENCES = list(LANGUAGES.values())

LONG = [" ".join(_SENTENCES), " ".join(EVERYDAY), " ".join(reversed(EVERYDAY[:24])), " ".join(EVERYDAY[1::2])]
"""300 to more than 1,000 tokens, in many languages."""

HELD_OUT = [
    *_SENTENCES,
    *(f"query: {text}" for text in _SENTENCES),
    *(f"passage: {text} {other}" for text, other in zip(_SENTENCES, EVERYDAY, strict=False)),
    *EVERYDAY,
    *LONG,
]
