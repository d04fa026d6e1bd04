"""The requests that are measured: texts of known lengths in tokens.

They are made of words that are one token in nearly every tokenizer. How many tokens a word has, and how many stand around a text, is
found out from the endpoint's own counts; an answer says how many it really were.
"""

from collections.abc import Callable, Mapping
from itertools import cycle, islice
from typing import Any

LENGTHS = (16, 128, 512)
"""Tokens of a short text, a paragraph, and a long text."""
BATCH = "batch"
BATCH_LENGTHS = tuple(8 * (1 + index * 7 % 32) for index in range(32))
"""Tokens of each text of the batch: 8 to 256, long and short ones mixed. `make bench` has the same."""
WORDS = (
    "the of and to in is was for on are with his at by from they have this not but had which she you one we her all were there "
    "been their has will would what if can when who more no out so up said about other into than its time only could new"
)
PROBES = (50, 100)
"""Words of the two texts whose tokens are counted."""


def text(words: int) -> str:
    """A text of so many words."""
    return " ".join(islice(cycle(WORDS.split()), max(words, 1)))


def make_loads(info: Mapping[str, Any], count_tokens: Callable[[str], int]) -> dict[str, list[str]]:
    """The texts of each load by its name, a length in tokens or ``BATCH``, as far as the endpoint's limits allow.

    Args:
        info: The answer of ``/info``.
        count_tokens: Has the endpoint count the tokens of a text.
    """
    longest = min(info["max_input_length"], info["max_batch_tokens"])
    short, long = (count_tokens(text(words)) for words in PROBES)
    each = max(1.0, (long - short) / (PROBES[1] - PROBES[0]))
    around = long - each * PROBES[1]

    def of(tokens: int) -> str:
        return text(int((min(tokens, longest) - around) / each))

    loads = {str(length): [of(length)] for length in LENGTHS if length <= longest}
    batch, left = [], info["max_batch_tokens"]
    for length in BATCH_LENGTHS[: info["max_client_batch_size"]]:
        left -= min(length, longest)
        if left >= 0:
            batch.append(of(length))
    return loads | {BATCH: batch}
