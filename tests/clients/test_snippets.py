"""Runs the snippets of docs/api.md for clients of other makers as they stand there; their vectors are those of /embed."""

import pytest

from tests.clients.conftest import KEY, PASSAGES, QUESTION
from tests.clients.environments import run_node, run_python
from tests.snippets import CLIENTS, TASKS, Snippet, snippets

pytestmark = pytest.mark.slow

PYTHON_RESULT = (
    "\nimport json\nprint(json.dumps([[float(number) for number in vector] for vector in [*vectors, query]]))"
)
JS_RESULT = "\nconsole.log(JSON.stringify([...vectors, query]));"
PYTHON = [snippet for snippet in snippets("docs/api.md", "python") if snippet.section in CLIENTS]
JS = [snippet for snippet in snippets("docs/api.md", "js") if snippet.section in CLIENTS]


def test_each_client_has_a_snippet():
    assert {snippet.section for snippet in PYTHON + JS} == CLIENTS


TASK = [snippet for snippet in snippets("docs/api.md", "python") if snippet.section in TASKS]


def check(vectors, expected) -> None:
    assert len(vectors) == len(expected)
    for vector, other in zip(vectors, expected, strict=True):
        assert vector == pytest.approx(other, abs=1e-7)


@pytest.mark.parametrize("snippet", PYTHON, ids=lambda snippet: snippet.section)
def test_python(snippet: Snippet, python, url, expected):
    vectors = run_python(snippet.code + PYTHON_RESULT, URL=url, KEY=KEY)
    check(vectors, expected)


@pytest.mark.parametrize("snippet", JS, ids=lambda snippet: snippet.section)
def test_javascript(snippet: Snippet, node, url, expected):
    vectors = run_node(snippet.code + JS_RESULT, URL=url, KEY=KEY)
    check(vectors, expected)


def test_each_other_task_has_snippets():
    assert {snippet.section for snippet in TASK} == TASKS


@pytest.mark.parametrize("snippet", TASK, ids=lambda snippet: snippet.section)
def test_another_task(snippet: Snippet, python, serve):
    url, http = serve({"Rerankers": "reranker-bert", "Classifiers": "classifier-bert"}[snippet.section])
    result = run_python(f"{snippet.code}\nimport json\nprint(json.dumps([best, score]))", URL=url, KEY=KEY)
    if snippet.section == "Rerankers":
        texts = ["A cat sleeps.", "The ferry leaves at seven."]
        rank = http.post("rerank", json={"query": QUESTION, "texts": texts}).json()[0]
        assert result == [texts[rank["index"]], rank["score"]]
    else:
        prediction = http.post("predict", json={"inputs": PASSAGES[0]}).json()[0]
        assert result == [prediction["label"], prediction["score"]]
