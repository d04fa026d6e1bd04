"""Several texts at a time: the same vectors, in the order of the request, within the memory and the time that there is."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.engine import Engine
from runtime.engine.manifest import MARGIN_PERCENT, Memory
from runtime.service.deadline import map_in_time
from runtime.service.errors import OutOfTime
from runtime.service.options import EmbedOptions, EncodeOptions
from runtime.service.service import Service

TEXTS = ["A short text.", "word " * 300, "Une phrase.", "長い文 " * 90, "x", "word " * 700]
MEMORY = Memory(longest_text_mb=200, worst_text_mb=800, another_text_mb=100)


@pytest.mark.parametrize("long_texts", ["truncate", "window"])
def test_vectors_are_those_of_one_text_at_a_time_bit_for_bit(engine: Engine, artifact: Path, long_texts: str):
    several = Service(Engine.load(artifact, threads=3))
    assert several.engine.texts_at_a_time == 3
    options = EncodeOptions(long_texts=long_texts)
    encoded = several.encode(TEXTS, options)
    vectors, usage = several.embed(encoded, EmbedOptions())
    alone = Service(engine)
    assert engine.texts_at_a_time == 1
    for text, vector in zip(TEXTS, vectors, strict=True):
        [expected], _ = alone.embed(alone.encode([text], options), EmbedOptions())
        assert np.array_equal(vector, expected)
    assert usage.tokens == encoded.tokens


def test_as_many_texts_at_a_time_as_there_is_room_for():
    together, most, running = threading.Barrier(3, timeout=30), [], []

    def compute(item: int) -> int:
        running.append(item)
        most.append(len(running))
        together.wait()
        running.remove(item)
        return item * 10

    results = map_in_time(compute, range(6), [1] * 6, 3, float("inf"), "texts were embedded")
    assert results == [0, 10, 20, 30, 40, 50]
    assert max(most) == 3


def test_the_longest_texts_are_begun_first():
    begun: list[str] = []
    map_in_time(begun.append, ["a", "abc", "ab"], [1, 3, 2], 2, float("inf"), "texts were embedded")
    assert sorted(begun[:2]) == ["ab", "abc"]


def test_a_deadline_holds_for_several_texts_at_a_time():
    begun: list[int] = []

    def compute(item: int) -> None:
        begun.append(item)
        time.sleep(0.05)

    with pytest.raises(OutOfTime, match=r"of 50 texts were embedded in"):
        map_in_time(compute, range(50), [1] * 50, 2, time.perf_counter() + 0.6, "texts were embedded")
    assert 2 <= len(begun) < 50


@pytest.mark.parametrize(
    ("memory_mb", "at_a_time"), [(700, 1), (800, 1), (899, 1), (901, 2), (1001, 3), (10_240, 8), (float("inf"), 8)]
)
def test_memory_bounds_how_many_texts_are_computed_at_a_time(memory_mb: float, at_a_time: int):
    with_margin = memory_mb * (100 + MARGIN_PERCENT) / 100
    assert MEMORY.texts_at_a_time(8, with_margin) == at_a_time
