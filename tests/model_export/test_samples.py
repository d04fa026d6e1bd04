"""The texts that a model is verified on follow the languages of its tokenizer, and its prompts."""

import pytest
from tokenizers import ByteLevelBPETokenizer, Tokenizer

from model_export.samples import Sample, choose_samples, writable
from model_export.texts import PARAGRAPHS, TEXTS
from runtime.engine.engine import Engine
from tests.texts import EVERYDAY

LATIN = ["en", "de", "fr", "es", "it", "nl", "pl", "pt"]


@pytest.fixture(scope="module")
def english(minilm) -> Tokenizer:
    """The tokenizer of an English model."""
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def test_a_multilingual_model_is_verified_in_all_languages(artifact):
    engine = Engine.load(artifact, threads=1)
    assert writable(engine.reference_tokenizer) == list(PARAGRAPHS)
    samples = choose_samples("embed", engine.reference_tokenizer, engine.manifest.prompts, True)
    assert samples[: len(TEXTS)] == [Sample(text) for text in TEXTS]
    assert {sample.prompt_name for sample in samples[len(TEXTS) :]} == {"query", "passage"}


def test_an_english_model_is_not_verified_on_texts_that_it_spells(english):
    languages = writable(english)
    assert set(LATIN) <= set(languages)
    assert not {"ru", "zh", "ko", "ar", "he"} & set(languages)
    texts = [sample.text for sample in choose_samples("embed", english, {}, True)]
    assert "hello" in texts and not any("医院" in text for text in texts)
    assert max(len(english.encode(text).ids) for text in texts) > 512, "one is to be cut off"
    queries = {sample.text[0] for sample in choose_samples("rerank", english, {}, True)}
    assert len(queries) == 3 and not any("医院" in query for query in queries)


def test_pieces_of_characters_are_spelled():
    """As by the vocabulary of bytes that RoBERTa and GPT-2 have."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator([text for text in [*TEXTS, *EVERYDAY] if text.isascii()] * 3, vocab_size=1500)
    languages = writable(tokenizer)
    assert "en" in languages
    assert not {"zh", "ja", "ko", "hi", "ar"} & set(languages)


def test_a_prompt_that_is_empty_is_left_out(english):
    samples = choose_samples("embed", english, {"query": "search: ", "document": ""}, True)
    assert {sample.prompt_name for sample in samples} == {"", "query"}
