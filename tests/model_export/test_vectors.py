"""The artifact's vectors against sentence-transformers on the fp32 checkpoint."""

import numpy as np
import pytest

from runtime.engine.engine import Engine
from tests.texts import LANGUAGES, ODD


@pytest.fixture(scope="module")
def engine(artifact):
    return Engine.load(artifact, threads=1)


@pytest.mark.parametrize("text", [*LANGUAGES.values(), *ODD.values()], ids=[*LANGUAGES, *ODD])
def test_vectors_match_the_original(engine, reference, text):
    room = engine.manifest.max_tokens - engine.num_special_tokens
    vector = engine.embed(engine.with_special_tokens(engine.tokenize(text)[:room]))
    assert vector.dtype == np.float32 and vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert vector @ reference.encode(text) >= 0.99


def test_neighbours_of_a_text_are_those_of_the_original(engine, reference):
    texts = [f"query: {text}" for text in LANGUAGES.values()]
    ours = np.array([engine.embed(engine.with_special_tokens(engine.tokenize(text))) for text in texts])
    theirs = reference.encode(texts)
    assert np.abs(ours @ ours.T - theirs @ theirs.T).max() < 0.01
