"""What the cold path imports. Every import is paid for by the caller who waits for a cold start."""

import subprocess
import sys

import pytest

from containers.tools import PROJECT

RARE = {
    "argparse": "the local server",
    "email": "http.client",
    "hmac": "API keys",
    "http.client": "Secrets Manager",
    "http.server": "the local server",
    "ssl": "Secrets Manager",
    "tokenizers": "/tokenize, /decode, special tokens in a text",
    "runtime.http.description": "/openapi.json, /docs",
    "runtime.service.quantization": "precisions other than float32",
    "runtime.aws.secrets": "API keys",
    "runtime.server": "the local server",
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


def test_parsing_and_answering_know_nothing_of_the_engine():
    code = "import sys, runtime.aws.function_url, runtime.http.routes, runtime.http.description; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not {"onnxruntime", "kitoken", "runtime.engine.engine"} & set(result.stdout.split())


def test_the_embedder_knows_nothing_of_http():
    code = "import sys, runtime.engine.engine; print(*(name for name in sys.modules if name.startswith('runtime')))"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not [name for name in result.stdout.split() if "api" in name or "events" in name or "service" in name]
