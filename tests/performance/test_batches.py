"""A text's vector is the same, bit for bit, whatever else the model was asked: most int8 models fail at that, since they take
one activation scale for a whole batch, and padding changes sums."""

import random

import numpy as np
import pytest

from runtime.aws.events import EventHandler
from runtime.engine.engine import Engine
from runtime.service.options import EmbedOptions, EncodeOptions
from tests.performance.texts import LONG
from tests.runtime.conftest import make_handler
from tests.support.embed import embed_texts
from tests.texts import EVERYDAY, LANGUAGES

TEXTS = ["x", *LANGUAGES.values(), *EVERYDAY[::6], LONG[0]]
BATCHES = (2, 3, 8, len(TEXTS))
"""How many texts go into one request."""


@pytest.fixture(scope="module")
def engine(artifact) -> Engine:
    return Engine.load(artifact, threads=1)


@pytest.fixture(scope="module")
def handler(engine) -> EventHandler:
    return make_handler(engine)


@pytest.fixture(scope="module")
def alone(artifact) -> np.ndarray:
    """Each text's vector from a model that was asked for nothing else before: float32 [texts, dimensions]."""
    return np.stack([embed_texts(Engine.load(artifact, threads=1), [text])[0] for text in TEXTS])


def test_any_order(engine, alone):
    order = random.Random(0).sample(range(len(TEXTS)), len(TEXTS))
    assert np.array_equal(embed_texts(engine, [TEXTS[index] for index in order]), alone[order])


def test_two_threads(artifact, alone):
    """Threads divide rows and columns among them, never a sum."""
    assert np.array_equal(embed_texts(Engine.load(artifact, threads=2), TEXTS), alone)


@pytest.mark.parametrize("size", BATCHES)
def test_any_batch_of_the_service(handler, alone, size):
    service = handler.application.service
    for start in range(0, len(TEXTS), size):
        encoded = service.encode(TEXTS[start : start + size], EncodeOptions())
        vectors, _ = service.embed(encoded, EmbedOptions())
        assert np.array_equal(vectors, alone[start : start + size])


@pytest.mark.parametrize("size", BATCHES)
def test_any_batch_through_the_handler(handler, alone, size):
    """Numbers in JSON are exact too: each reads back as the float32 it was."""
    order = random.Random(size).choices(range(len(TEXTS)), k=size)
    answer = handler({"inputs": [TEXTS[index] for index in order]})
    assert np.array_equal(np.array(answer, np.float32), alone[order])


def test_after_other_requests(handler, alone):
    """Also after the longest text that the model reads, and after requests that were refused."""
    handler({"inputs": LONG[1], "truncate": True})
    handler({"inputs": []})
    handler({"inputs": LONG[1]})
    for text, vector in zip(TEXTS, alone, strict=True):
        assert np.array_equal(np.array(handler({"inputs": text})[0], np.float32), vector)
