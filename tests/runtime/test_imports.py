"""Imports of the cold path, which make callers wait longer for a cold start, and imports between the rooms."""

import subprocess
import sys

import pytest

from containers.tools import PROJECT

RARE = {
    "argparse": "the local server",
    "email": "http.client",
    "hashlib": "an artifact that is not part of an image, the golden check, Secrets Manager",
    "hmac": "API keys",
    "http.client": "Secrets Manager",
    "http.server": "nothing",
    "ssl": "Secrets Manager",
    "tokenizers": "/tokenize, /decode, special tokens in a text",
    "runtime.http.description": "/openapi.json, /docs",
    "runtime.service.quantization": "precisions other than float32",
    "runtime.aws.secrets": "API keys",
    "runtime.server": "the local server",
    "waitress": "the local server",
    "boto3": "nothing",
    "botocore": "nothing",
    "huggingface_hub": "nothing",
    "model_export": "nothing",
    "pydantic": "nothing",
    "torch": "nothing",
    "transformers": "nothing",
}
"""Modules that must not be there after the handler answered a plain request, and what needs them."""


@pytest.fixture(scope="module")
def imported(artifact) -> set[str]:
    """The modules that a process has after its first answers."""
    code = (
        "import sys, runtime.aws.handler\n"
        "event = {'requestContext': {'http': {'method': 'POST'}}, 'rawPath': '/v1/embeddings', 'body': '{\"input\": \"a\"}',"
        " 'headers': {'content-type': 'application/json'}}\n"
        "assert runtime.aws.handler.handler(event)['statusCode'] == 200\n"
        "assert len(runtime.aws.handler.handler({'inputs': 'a'})) == 1\n"
        "print('MODULES', *sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={"EMBEDDINGS_MODEL_DIR": str(artifact)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.rpartition("MODULES ")[2].split())


@pytest.mark.parametrize("module", RARE)
def test_the_cold_path_does_not_import(imported, module):
    assert module not in imported, f"{module} is for {RARE[module]}"


def loaded(module: str) -> set[str]:
    """The modules that a process has after importing ``module``."""
    code = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_parsing_and_answering_know_nothing_of_the_engine():
    for module in ("runtime.aws.http_events", "runtime.http.application", "runtime.http.description"):
        assert not {"onnxruntime", "kitoken", "runtime.engine.engine"} & loaded(module)


ROOMS = ["engine", "service", "http", "settings", "aws", "server"]
"""From bottom to top; each imports only what stands before it."""


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("runtime.engine.engine", "engine"),
        ("runtime.service.service", "service"),
        ("runtime.http.application", "http"),
        ("runtime.http.description", "http"),
        ("runtime.settings", "settings"),
        ("runtime.aws.startup", "aws"),
    ],
)
def test_rooms_know_nothing_of_those_above(module, room):
    rooms = {name.split(".")[1] for name in loaded(module) if name.startswith("runtime.")}
    assert rooms <= set(ROOMS[: ROOMS.index(room) + 1])
