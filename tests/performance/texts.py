"""The texts that parity and fidelity are tested on: none of those that quantization was designed or is verified with."""

import re
from pydoc_data.topics import topics

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


def _english() -> list[str]:
    first = (paragraph.split(". ")[0] for name in sorted(topics) for paragraph in topics[name].split("\n\n"))
    sentences = (" ".join(text.split()).rstrip(".") for text in first)
    return list(dict.fromkeys(each for each in sentences if re.fullmatch(r"[A-Z][A-Za-z ,;()'’-]{40,240}", each)))[:200]


ENGLISH = _english()
"""Sentences of Python's reference, for models that know English only."""
