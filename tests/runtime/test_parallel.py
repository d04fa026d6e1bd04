"""Several texts at a time: the same vectors, in the order of the request, within the memory and the time that there is."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from runtime.aws.startup import load
from runtime.engine import session
from runtime.engine.engine import Engine
from runtime.engine.manifest import MARGIN_PERCENT, Memory
from runtime.service.deadline import map_in_time
from runtime.service.errors import OutOfTime
from runtime.service.options import EmbedOptions, EncodeOptions
from runtime.service.service import Service
from runtime.settings import Settings

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


def test_the_session_of_one_thread_is_made_when_it_is_first_needed(artifact: Path, monkeypatch):
    made: list[int] = []
    load = session._load
    monkeypatch.setattr(session, "_load", lambda graph, threads: made.append(threads) or load(graph, threads))
    service = Service(Engine.load(artifact, threads=2))
    for texts, expected in (
        (["alone"], [2]),
        (["word " * 100, "short"], [2]),
        (["one", "two"], [2, 1]),
        (["three", "four"], [2, 1]),
    ):
        service.embed(service.encode(texts, EncodeOptions()), EmbedOptions())
        assert made == expected


def test_one_thread_needs_one_session(artifact: Path):
    engine = Engine.load(artifact, threads=1)
    assert engine.of_one_thread is engine


def test_as_many_texts_at_a_time_as_there_is_room_for():
    together, most, running = threading.Barrier(3, timeout=30), [], []

    def compute(item: int, alone: bool) -> int:
        running.append(item)
        most.append(len(running))
        together.wait()
        running.remove(item)
        return item * 10

    results = map_in_time(compute, range(6), [1] * 6, 3, float("inf"), "texts were embedded")
    assert results == [0, 10, 20, 30, 40, 50]
    assert max(most) == 3


@pytest.mark.parametrize(
    ("costs", "at_a_time", "alone"),
    [
        ([512], 2, [512]),
        ([512, 512], 2, []),
        ([8, 512, 8, 8], 2, [512]),  # by one thread it would take longer than the others by the other
        ([8, 512, 300, 8, 8], 2, [512, 300]),
        ([512, 512], 6, [512, 512]),
        ([512] * 6, 6, []),
        ([1, 2, 3], 1, [3, 2, 1]),
    ],
)
def test_a_text_that_would_outlast_the_others_is_computed_alone_before_them(
    costs: list[int], at_a_time: int, alone: list[int]
):
    begun: list[tuple[int, bool]] = []
    map_in_time(lambda *each: begun.append(each), costs, costs, at_a_time, float("inf"), "texts were embedded")
    assert begun[: len(alone)] == [(cost, True) for cost in alone]
    assert sorted(begun[len(alone) :]) == sorted((cost, False) for cost in costs if cost not in alone)


def test_the_longest_texts_are_begun_first():
    begun: list[str] = []
    map_in_time(
        lambda item, alone: begun.append(item), ["a", "ab", "abc"], [4, 5, 6], 2, float("inf"), "texts were embedded"
    )
    assert sorted(begun[:2]) == ["ab", "abc"]


def test_a_deadline_holds_for_several_texts_at_a_time():
    begun: list[int] = []

    def compute(item: int, alone: bool) -> None:
        begun.append(item)
        time.sleep(0.05)

    with pytest.raises(OutOfTime, match=r"of 50 texts were embedded in"):
        map_in_time(compute, range(50), [1] * 50, 2, time.perf_counter() + 0.6, "texts were embedded")
    assert 2 <= len(begun) < 50


@pytest.mark.parametrize(("memory_mb", "at_a_time"), [(800, 1), (1099, 1), (1100, 4), (10_240, 4), (float("inf"), 4)])
def test_several_texts_at_a_time_need_room_for_one_a_cpu(memory_mb: float, at_a_time: int):
    with_margin = memory_mb * (100 + MARGIN_PERCENT) / 100
    assert MEMORY.texts_at_a_time(4, with_margin) == at_a_time


@pytest.mark.parametrize(("memory_mb", "vcpus"), [(1024, 1), (1769, 1), (1770, 2), (3538, 2), (10_240, 6)])
def test_a_thread_for_each_vcpu_of_the_function(memory_mb: int, vcpus: int, artifact: Path, monkeypatch):
    """However many the system shows: AWS gives memory_mb / 1769 of one."""
    threads = []
    monkeypatch.setattr(session, "_load", lambda graph, count: threads.append(count))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str(memory_mb))
    load(Settings(model_dir=str(artifact)))
    assert threads == [vcpus]
