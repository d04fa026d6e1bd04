"""Runs the snippets of README.md and docs/api.md as they stand there, and checks their numbers."""

import os
import subprocess

import httpx
import pytest

from containers.tools import PROJECT
from runtime.http.auth import ApiKeyAuthenticator
from runtime.http.errors import HttpError
from runtime.http.messages import Request
from runtime.http.sizes import fitting_vectors
from runtime.service.limits import Limits
from tests.runtime.conftest import make_handler, serving
from tests.runtime.signatures import CREDENTIALS, REGION, SignatureAuthenticator
from tests.snippets import CLIENTS, TASKS, snippets

KEY = "the-key"
LOCAL = "http://localhost:9000/"
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class KeyOrSignature(SignatureAuthenticator):
    """Accepts requests that have the key or a valid signature."""

    def __init__(self) -> None:
        self.by_key = ApiKeyAuthenticator(lambda seconds: {None: KEY}, report=print)

    def check(self, request: Request, deadline: float = float("inf")) -> None:
        try:
            self.by_key.check(request)
        except HttpError:
            super().check(request)


@pytest.fixture(scope="module")
def url(engine):
    """A server for the snippets; its URL ends with a slash as a Function URL does."""
    with serving(make_handler(engine, KeyOrSignature())) as url:
        yield f"{url}/"


@pytest.fixture(scope="module")
def lambda_url(handler):
    """A server in place of Lambda's API, which lets in whom IAM lets invoke."""
    with serving(handler) as url:
        yield url


@pytest.fixture
def environment(lambda_url, monkeypatch) -> None:
    """The variables that a user of the AWS CLI has set."""
    for name, value in zip(VARIABLES, CREDENTIALS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", lambda_url)


def blocks(document: str, language: str) -> list[str]:
    """The snippets, without those of clients that tests/clients runs in an environment apart."""
    return [snippet.code for snippet in snippets(document, language) if snippet.section not in CLIENTS | TASKS]


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_python(document, url, environment):
    namespace = {"URL": url, "KEY": KEY, "FUNCTION": "embeddings"}
    codes = blocks(document, "python")
    assert codes
    for code in codes:
        exec(compile(code, document, "exec"), namespace)
    assert len(namespace["vectors"][0]) == 384


def test_what_docs_say_of_prompts_and_precision(url, environment):
    namespace = {"URL": url, "KEY": KEY}
    for code in blocks("docs/api.md", "python"):
        if "cosines(" in code or "quantize" in code:
            exec(compile(code, "docs/api.md", "exec"), namespace)
    without, prompted = namespace["without"], namespace["prompted"]
    assert without == pytest.approx([0.83, 0.92], abs=0.02)
    assert prompted == pytest.approx([0.85, 0.89], abs=0.02)
    assert prompted[1] - prompted[0] < (without[1] - without[0]) * 0.7
    assert (namespace["mine"] == namespace["theirs"]).mean() > 0.99


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_curl(document, url, environment):
    codes = [code for code in blocks(document, "sh") if "curl " in code]
    assert codes
    for code in codes:
        # The local server of the README needs no key; this one does.
        curl = f"curl -sS -f -H 'Authorization: Bearer {KEY}' " if LOCAL in code else "curl -sS -f "
        command = code.replace(LOCAL, url).replace("curl ", curl)
        variables = os.environ | {"URL": url, "KEY": KEY}
        subprocess.run(["bash", "-e", "-c", command], env=variables, check=True, stdout=subprocess.DEVNULL)


def test_limits_are_those_in_the_docs(url):
    limits = Limits()
    text = (PROJECT / "docs/api.md").read_text(encoding="utf-8")
    for label, encoding in (("of `/info`) |", {}), ("gzip` |", {"gzip": True}), ("clients |", {"base64": True})):
        fitting = (
            min(fitting_vectors(dimensions, "float32", **encoding), limits.max_texts) for dimensions in (384, 768, 1024)
        )
        assert f"{label} {' | '.join(f'{count:,}' for count in fitting)} |\n" in text
    info = httpx.get(f"{url}info", headers={"Authorization": f"Bearer {KEY}"}).json()
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert (
        f"{info['max_client_batch_size']} vectors of 384 numbers, {limits.max_texts:,} with gzip or in base64" in text
    )
    for document in ("README.md", "docs/api.md"):
        text = (PROJECT / document).read_text(encoding="utf-8")
        assert f"| texts a request | {limits.max_texts:,} |" in text
        assert f"| tokens a request | {info['max_batch_tokens']:,} |" in text
