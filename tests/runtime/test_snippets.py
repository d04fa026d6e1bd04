"""What README.md and docs/api.md tell users to type is run as it stands there."""

import os
import re
import subprocess

import pytest

from runtime.http.auth import ApiKeyAuthenticator
from runtime.http.errors import HttpError
from runtime.http.messages import Request
from runtime.http.sizes import ANSWER_BYTES, vector_bytes
from runtime.service.limits import Limits
from tests.runtime.conftest import make_handler, serving
from tests.runtime.signatures import CREDENTIALS, REGION, SignatureAuthenticator
from tests.support.tools import PROJECT

KEY = "the-key"
LOCAL = "http://localhost:9000/"
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class KeyOrSignature(SignatureAuthenticator):
    """Lets in who has the key, or who signs."""

    def __init__(self) -> None:
        self.by_key = ApiKeyAuthenticator(lambda: KEY, report=print)

    def check(self, request: Request) -> None:
        try:
            self.by_key.check(request)
        except HttpError:
            super().check(request)


@pytest.fixture(scope="module")
def url(engine):
    """A server as the snippets expect it, its URL with a slash as that of a Function URL."""
    with serving(make_handler(engine, KeyOrSignature())) as url:
        yield f"{url}/"


@pytest.fixture
def environment(url, monkeypatch) -> None:
    """What a user of the AWS CLI has set."""
    for name, value in zip(VARIABLES, CREDENTIALS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)


def blocks(document: str, language: str) -> list[str]:
    text = (PROJECT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_python(document, url, environment):
    namespace = {"URL": url, "KEY": KEY, "FUNCTION": "embeddings"}
    snippets = blocks(document, "python")
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, document, "exec"), namespace)
    assert len(namespace["vectors"][0]) == 384


def test_what_docs_say_of_prompts_and_precision(url, environment):
    namespace = {"URL": url, "KEY": KEY}
    snippets = [
        snippet for snippet in blocks("docs/api.md", "python") if "cosines(" in snippet or "quantize" in snippet
    ]
    for snippet in snippets:
        exec(compile(snippet, "docs/api.md", "exec"), namespace)
    without, prompted = namespace["without"], namespace["prompted"]
    assert without == pytest.approx([0.83, 0.92], abs=0.02)
    assert prompted == pytest.approx([0.85, 0.89], abs=0.02)
    assert prompted[1] - prompted[0] < (without[1] - without[0]) * 0.7
    assert (namespace["mine"] == namespace["theirs"]).mean() > 0.99


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_curl(document, url, environment):
    snippets = [snippet for snippet in blocks(document, "sh") if "curl " in snippet]
    assert snippets
    for snippet in snippets:
        # What the README says to the local server needs no key; this one asks for it.
        curl = f"curl -sS -f -H 'Authorization: Bearer {KEY}' " if LOCAL in snippet else "curl -sS -f "
        command = snippet.replace(LOCAL, url).replace("curl ", curl)
        variables = os.environ | {"URL": url, "KEY": KEY}
        subprocess.run(["bash", "-e", "-c", command], env=variables, check=True, stdout=subprocess.DEVNULL)


def test_limits_are_those_in_the_docs():
    numbers = f"{ANSWER_BYTES // vector_bytes(384, 'float32')}"
    base64 = f"{ANSWER_BYTES // vector_bytes(384, 'float32', base64=True):,}"
    text = (PROJECT / "docs/api.md").read_text(encoding="utf-8")
    assert f"of 384 dimensions {numbers} as" in text and f"{base64} in `encoding_format`" in text
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"{numbers} vectors of 384 numbers, {base64} in base64" in text
    assert f"| texts a request | {Limits().max_texts:,} |" in text
    assert f"| tokens a request | {Limits().max_tokens:,} |" in text
