"""Whatever is sent: no 5xx, no traceback, nothing left behind. The request after it is answered as the one before."""

import gc
import json
import resource
from pathlib import Path
from random import Random

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.runtime import tei
from tests.runtime.conftest import make_handler, serving

EXAMPLES = 150
"""How many of each kind; the slow test sends 100,000 requests in all."""
PROBE = {"inputs": ["The request after it is right.", "Auch dieser Satz."]}
PATHS = [
    "/", "/embed", "/embed_all", "/similarity", "/tokenize", "/decode", "/rerank", "/predict", "/embed_sparse",
    "/v1/embeddings", "/v1/models", "/v1/models/a", "/info", "/health", "/metrics", "/openapi.json", "/docs", "/nope", "",
]  # fmt: skip


def settings(examples: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


# Python strings with surrogates are what a JSON event with \ud800 in it becomes.
texts = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["\ud800", "\x00", "\u202e", "<s>", "</s><mask>", " ", "\ufeff", "a\udfff", "🏳️‍🌈", "query: ", "x" * 5000]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([2**31, 2**32, 2**63, -1, 10**40]) | st.floats() | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
deep = st.integers(1, 3000).map(lambda depth: json.loads("[" * min(depth, 900) + "]" * min(depth, 900)))
inputs = texts | st.lists(texts | st.lists(st.integers(-2, 300_000), max_size=5), max_size=4) | values
bodies = (
    st.fixed_dictionaries(
        {},
        optional={
            "inputs": inputs | st.fixed_dictionaries({"source_sentence": inputs, "sentences": inputs}),
            "input": inputs,
            "ids": inputs,
            "query": inputs,
            "texts": inputs,
            "model": values,
            "normalize": st.booleans() | values,
            "truncate": st.booleans() | values,
            "truncation_direction": st.sampled_from(["Left", "right"]) | values,
            "prompt_name": st.sampled_from(["query", "passage"]) | values,
            "dimensions": st.integers(-1, 400) | values,
            "precision": st.sampled_from(["int8", "binary"]) | values,
            "long_texts": st.sampled_from(["window", "truncate", "error"]) | values,
            "window_overlap": st.integers(-1, 600) | values,
            "encoding_format": st.sampled_from(["float", "base64"]) | values,
            "parameters": values,
        },
    )
    | values
)
headers = st.dictionaries(
    st.sampled_from(["content-type", "Content-Encoding", "accept-encoding", "authorization", "x", "Host"]),
    st.sampled_from(["application/json", "gzip", "identity", "br", "gzip;q=0", "Bearer x", "Basic eA==", ""]) | values,
    max_size=3,
)
raw = st.binary(max_size=60) | bodies.map(lambda body: json.dumps(body).encode())


@st.composite
def http_events(draw) -> dict:
    body = draw(bodies.map(json.dumps) | texts | values)
    event = {
        "version": "2.0",
        "rawPath": draw(st.sampled_from(PATHS) | texts),
        "requestContext": {
            "http": {"method": draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]) | texts)}
        },
        "headers": {"content-type": "application/json", **draw(headers)},
        "body": body,
        "isBase64Encoded": draw(st.booleans()),
    }
    for name in draw(st.sets(st.sampled_from(sorted(event)), max_size=2)):
        event[name] = draw(values)
    return event


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def handler(engine, lines):
    return make_handler(engine, lines=lines)


@pytest.fixture(autouse=True)
def right_afterwards(handler, lines):
    """The request after it equals the one before it, and nothing failed."""
    before = handler(PROBE)
    lines.clear()
    yield
    assert handler(PROBE) == before
    assert [line for line in lines if json.loads(line)["level"] == "ERROR"] == []


def check(result) -> None:
    """A result that Lambda can pass on, and no error of ours."""
    text = json.dumps(result, allow_nan=False)
    assert "Traceback" not in text and "internal error" not in text
    if isinstance(result, dict) and "statusCode" in result:
        assert 200 <= result["statusCode"] < 500, result
        assert result.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert all(isinstance(value, str) for pair in result["headers"].items() for value in pair)


def fuzz_events(handler, examples: int) -> None:
    """Send so many direct invocations, so many Function URL events, and so many bodies with the fields there are."""

    @settings(examples)
    @given(values | bodies | deep)
    def direct(event):
        check(handler(event))

    @settings(examples)
    @given(http_events())
    def function_url(event):
        check(handler(event))

    @settings(examples)
    @given(st.sampled_from(PATHS), bodies)
    def typed(path, body):
        event = {"requestContext": {"http": {"method": "POST"}}, "rawPath": path, "body": json.dumps(body)}
        check(handler(event | {"headers": {"content-type": "application/json"}}))

    direct()
    function_url()
    typed()


def fuzz_description(description: dict, url: str, examples: int) -> None:
    """Send what ``description`` allows and what it does not to every operation."""
    schema = schemathesis.openapi.from_dict(description)
    schema.validate()
    schema.config.update(base_url=url)
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(examples)
        @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
        def allowed(case):
            case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])

        @settings(examples)
        @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
        def not_allowed(case):
            assert case.call().status_code < 500

        allowed()
        if operation.body:
            not_allowed()


def test_any_event(handler):
    fuzz_events(handler, EXAMPLES)


def test_our_description(handler):
    with serving(handler) as url:
        description = json.loads(handler(get("/openapi.json"))["body"])
        fuzz_description(description, url, max(EXAMPLES // 10, 3))


def test_teis_description(handler):
    with serving(handler) as url:
        fuzz_description(tei.description(), url, max(EXAMPLES // 10, 3))


def fuzzed_events(handler, count: int) -> list:
    """The events of ``fuzz_events``, after the handler has answered them."""
    events = []

    def collect(event):
        events.append(event)
        return handler(event)

    fuzz_events(collect, count)
    return events


@pytest.mark.slow
def test_a_hundred_thousand_requests(handler):
    """Hypothesis makes 6,000; the others are made of their parts, which takes less time than to make each anew."""
    events = fuzzed_events(handler, 2000)
    probe = handler(PROBE)
    random = Random(1)
    parts = [event for event in events if isinstance(event, dict) and event]
    for number in range(100_000 - len(events)):
        one, other = random.choices(parts, k=2)
        # The fields of one, and some of the other.
        check(
            handler(one | {name: other[name] for name in random.sample(sorted(other), random.randint(1, len(other)))})
        )
        if number % 1000 == 0:
            assert handler(PROBE) == probe


@pytest.mark.slow
def test_memory_does_not_grow(handler):
    events = fuzzed_events(handler, 100)
    sizes = []
    for _ in range(12):
        for event in events:
            handler(event)
        gc.collect()
        sizes.append(resident_megabytes())
    assert sizes[-1] - sizes[3] < 5


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def get(path: str) -> dict:
    return {"requestContext": {"http": {"method": "GET"}}, "rawPath": path}
