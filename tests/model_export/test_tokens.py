"""Token ids against the checkpoint's own tokenizer, as transformers loads it."""

import random

import pytest
from transformers import AutoTokenizer

from runtime.engine.engine import Engine
from tests.texts import LANGUAGES, ODD

ALPHABET = [
    *list(" \t\n\r\x00\x01\x1f\x7f\x85\xa0\u200b\u200d\u2028\ufeff\u3000▁aébñ中文字שלום😀ＡＢ①ﬁ.,-_/129́İßſ"),
    "<s>",
    "</s>",
]


@pytest.fixture(scope="module")
def engine(artifact):
    return Engine.load(artifact, threads=1)


@pytest.fixture(scope="module")
def original(checkpoint):
    return AutoTokenizer.from_pretrained(checkpoint)


@pytest.mark.parametrize("text", [*LANGUAGES.values(), *ODD.values()], ids=[*LANGUAGES, *ODD])
def test_ids_equal_the_originals(engine, original, text):
    expected = original(text, truncation=False, verbose=False)["input_ids"]
    assert engine.with_special_tokens(engine.tokenize(text)) == expected


def test_ids_of_random_strings_equal_the_originals(engine, original):
    random.seed(20240501)
    for _ in range(3000):
        text = "".join(random.choices(ALPHABET, k=random.randint(1, 16)))
        assert engine.tokenize(text) == original(text, add_special_tokens=False)["input_ids"], repr(text)
