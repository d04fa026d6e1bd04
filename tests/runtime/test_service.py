"""The service without HTTP."""

import copy
import time

import msgspec
import numpy as np
import pytest

from runtime.service.errors import InvalidInput, OutOfTime, TooManyInputs, UnknownPromptError
from runtime.service.limits import Limits
from runtime.service.options import EmbedOptions, EncodeOptions, ServiceConfig
from runtime.service.service import Service


@pytest.fixture(scope="module")
def service(engine) -> Service:
    return Service(engine)


@pytest.mark.parametrize("name", ["engine", "config", "deadline", "default_prompt"])
def test_is_immutable(service, name):
    with pytest.raises(AttributeError):
        setattr(service, name, None)
    with pytest.raises(AttributeError):
        service.config.limits.max_tokens = 1


def test_a_default_prompt_that_the_model_does_not_have(engine):
    with pytest.raises(UnknownPromptError, match=r"'nope' .* query, passage"):
        Service(engine, ServiceConfig(default_prompt="nope"))


def test_smaller_limits(engine):
    service = Service(engine, ServiceConfig(limits=Limits(max_texts=2, max_tokens=10)))
    assert service.encode(["a", "b"], EncodeOptions()).tokens == 6
    with pytest.raises(TooManyInputs, match="3 > maximum allowed batch size 2"):
        service.limits.check_count(3)
    with pytest.raises(InvalidInput, match="2 of 2 texts have"):
        service.encode(["a", "a longer text that has some tokens"], EncodeOptions())


def test_a_deadline_holds_for_one_call_only(service):
    encoded = service.encode(["word " * 400] * 5, EncodeOptions())
    with pytest.raises(OutOfTime, match="1 of 5 texts were embedded"):
        service.embed(encoded, EmbedOptions(), deadline=time.perf_counter())
    windowed = service.encode(["word " * 900] * 2, EncodeOptions(long_texts="window"))
    with pytest.raises(OutOfTime, match="1 of 4 windows of the texts were embedded"):
        service.embed(windowed, EmbedOptions(), deadline=time.perf_counter())
    with pytest.raises(OutOfTime, match="1 of 2 texts were tokenized"):
        service.encode(["a", "b"], EncodeOptions(), deadline=time.perf_counter())
    with pytest.raises(OutOfTime, match="1 of 2 texts were tokenized"):
        list(service.tokenize(["a", "b"], None, True, deadline=time.perf_counter()))
    with pytest.raises(OutOfTime, match="1 of 2 texts were decoded"):
        service.decode([[5], [6]], True, deadline=time.perf_counter())
    with pytest.raises(OutOfTime):
        service.token_vectors(encoded, deadline=time.perf_counter())
    vectors, usage = service.embed(encoded, EmbedOptions())
    assert (len(vectors), usage.texts) == (5, 5)


def test_the_first_text_is_computed_after_the_deadline_too(service, engine):
    encoded = service.encode(["a"], EncodeOptions())
    vectors, _ = service.embed(encoded, EmbedOptions(), deadline=0.0)
    assert np.array_equal(vectors[0], engine.embed(encoded.windows[0][0]))


def test_the_default_overlap_fits_a_model_that_reads_little(engine):
    small = copy.copy(engine)
    small.manifest = msgspec.structs.replace(engine.manifest, max_tokens=32)
    encoded = Service(small).encode(["word " * 60], EncodeOptions(long_texts="window"))
    first, second, *_ = (window[1:-1] for window in encoded.windows[0])
    assert (len(first), first[-15:]) == (30, second[:15])
