"""The texts that a model is verified on: those whose language its tokenizer can write, and some with each of its prompts."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple
from unicodedata import east_asian_width

from tokenizers import Tokenizer

from runtime.engine.manifest import PAIR_TASKS

from .texts import PARAGRAPHS, pairs_in, texts_in

SPELLED = 0.25
"""Part of a passage's tokens that may be unknown, pieces of a character or letters inside a word. all-MiniLM-L6-v2, an English model,
has 0.6 to 0.8 in Russian, Chinese, Korean, Arabic and Hebrew, and 0.22 or less in languages with Latin letters but Turkish;
multilingual-e5-small 0.1 or less in all. A model that was not trained on a language gives vectors without meaning for it, which change
more than others."""


class Sample(NamedTuple):
    """A text or a pair of texts, and the name of the prompt that is put before it; none is if that is empty."""

    text: str | tuple[str, str]
    prompt_name: str = ""


def choose_samples(task: str, tokenizer: Tokenizer, prompts: Mapping[str, str], reads_pairs: bool) -> list[Sample]:
    """The samples for a model with this task, tokenizer and prompts; in all languages if it can write none. ``reads_pairs`` as in
    :func:`inputs_for`."""
    languages = writable(tokenizer) or list(PARAGRAPHS)
    texts = texts_in(languages)
    if task in PAIR_TASKS:
        return [Sample(each) for each in inputs_for(task, reads_pairs, texts, pairs_in(languages))]
    long = max(texts, key=len)
    named = [name for name, prompt in prompts.items() if name and prompt]
    return [*map(Sample, texts), *(Sample(text, name) for name in named for text in (texts[0], long))]


def inputs_for(
    task: str, reads_pairs: bool, texts: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> list[str | tuple[str, str]]:
    """Those of ``texts`` and ``pairs`` that a model with this task reads: a reranker pairs, a classifier texts, and pairs too if
    ``reads_pairs``, any other model texts. ``reads_pairs``: whether its tokenizer puts anything around a pair."""
    reads_texts, reads_pairs = task != "rerank", reads_pairs and task in PAIR_TASKS
    return [*(texts if reads_texts else ()), *(pairs if reads_pairs else ())]


def writable(tokenizer: Tokenizer) -> list[str]:
    """The languages of :data:`.texts.PARAGRAPHS` that ``tokenizer`` hardly spells."""
    unknown = _unknown(tokenizer)
    encodings = {language: tokenizer.encode(text, add_special_tokens=False) for language, text in PARAGRAPHS.items()}
    return [each for each, encoding in encodings.items() if _spelled(PARAGRAPHS[each], encoding, unknown) <= SPELLED]


def _unknown(tokenizer: Tokenizer) -> int | None:
    """The id of the token that stands for what is in no other, if there is one."""
    model = json.loads(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    return tokenizer.token_to_id(token) if token else model.get("unk_id")


def _spelled(text: str, encoding, unknown: int | None) -> float:
    """The part of the tokens of ``text``, with this ``tokenizers.Encoding``, that :data:`SPELLED` limits."""
    spelled = sum(token == unknown for token in encoding.ids)
    for (before, stop), (start, end) in pairwise(encoding.offsets):
        same_character = start < end and (before, stop) == (start, end)
        spelled += same_character or (start == stop and end == start + 1 and _inside_word(text, start))
    return spelled / max(1, len(encoding.ids))


def _inside_word(text: str, index: int) -> bool:
    """Whether the character there continues a word that is written in letters; an ideograph is a word."""
    return text[index - 1].isalpha() and text[index].isalpha() and east_asian_width(text[index]) != "W"
