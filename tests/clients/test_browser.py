"""OpenAI's npm package in a web page of another origin, which a browser lets through only as CORS allows."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from runtime.engine.engine import Engine
from runtime.http.auth import ApiKeyAuthenticator
from tests.clients.conftest import KEY
from tests.clients.environments import NODE_MODULES
from tests.runtime.conftest import MODEL, make_handler, serving
from tests.support.browser import chromium

pytestmark = pytest.mark.slow

EMBED = """async ([url, key, model]) => {
  const { OpenAI } = await import("/openai/index.mjs");
  const options = { organization: "one", project: "two", timeout: 30_000, maxRetries: 0 };
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, dangerouslyAllowBrowser: true, ...options });
  const { data, request_id } = await client.embeddings.create({ model, input: "First text" }).withResponse();
  return [data.data[0].embedding, request_id];
}"""


@pytest.fixture
def page(node):
    """A page whose origin has the Node packages."""
    handler = partial(SimpleHTTPRequestHandler, directory=NODE_MODULES)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/openai/package.json")
        yield page
        server.shutdown()


def test_openai_from_another_origin(page, artifact):
    origin = page.evaluate("location.origin")
    authenticator = ApiKeyAuthenticator(lambda seconds: {None: KEY}, report=print)
    with serving(make_handler(Engine.load(artifact, threads=1), authenticator), (origin,)) as url:
        vector, request_id = page.evaluate(EMBED, [url, KEY, MODEL])
        headers = {"authorization": f"Bearer {KEY}"}
        expected = httpx.post(f"{url}/embed", json={"inputs": "First text"}, headers=headers).json()[0]
    assert vector == pytest.approx(expected, abs=1e-7)
    assert request_id
