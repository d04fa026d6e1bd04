"""``/docs`` in a real browser: it lists every route, needs nothing from elsewhere, and tries routes with a key."""

import json
import os

import pytest

from runtime.http.auth import ApiKeyAuthenticator
from runtime.http.routes import ROUTES
from tests.runtime.conftest import make_handler, serving
from tests.support.browser import ensure

pytestmark = pytest.mark.slow
KEY = "the-key"
FLAGS = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure(), args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that notes requests to elsewhere and what the console complains of."""
    page = browser.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    yield page
    page.close()


def test_lists_every_route_and_tries_it(page, url):
    page.goto(f"{url}/docs")
    listed = page.locator("summary").all_inner_texts()
    for route in ROUTES:
        for path in (route.path, *route.also):
            assert any(text.startswith(route.method) and path in text for text in listed), path
    for method, path in [("post", "/embed"), ("post", "/similarity"), ("post", "/v1/embeddings"), ("get", "/info")]:
        operation = page.locator(f'[id="{method}-{path}"]')
        operation.locator("summary").click()
        operation.get_by_role("button", name="Try").click()
        operation.locator("pre").get_by_text("200 OK").wait_for()
    assert not page.locator("#key").is_visible()
    assert page.complaints == []
    assert all(requested.startswith((url, "data:")) for requested in page.requested)


def test_the_suggested_request_of_every_route_is_valid(page, url):
    page.goto(f"{url}/docs")
    for operation in page.locator("details").all():
        operation.locator("summary").click()
        operation.get_by_role("button", name="Try").click()
        operation.locator("pre").wait_for()
        path = operation.get_attribute("id").partition("-")[2]
        status = operation.locator("pre").inner_text().split()[0]
        without_head = path in ("/rerank", "/predict", "/embed_sparse")
        assert status == ("424" if without_head else "404" if "{" in path else "200"), path


def test_shows_errors_as_they_come(page, url):
    page.goto(f"{url}/docs")
    operation = page.locator('[id="post-/embed"]')
    operation.locator("summary").click()
    operation.locator("textarea").fill('{"inputs": ""}')
    operation.get_by_role("button", name="Try").click()
    operation.locator("pre").get_by_text("400").wait_for()
    assert "cannot be empty" in operation.locator("pre").inner_text()


def test_tries_with_a_key(browser, engine):
    authenticator = ApiKeyAuthenticator(lambda: KEY, report=print)
    handler = make_handler(engine, authenticator)
    with serving(handler) as url:
        context = browser.new_context(http_credentials={"username": "anyone", "password": KEY})
        page = context.new_page()
        page.goto(f"{url}/docs")
        operation = page.locator('[id="post-/embed"]')
        operation.locator("summary").click()
        page.get_by_label("API key").fill("wrong")
        operation.get_by_role("button", name="Try").click()
        operation.locator("pre").get_by_text("401").wait_for()
        page.get_by_label("API key").fill(KEY)
        operation.get_by_role("button", name="Try").click()
        operation.locator("pre").get_by_text("200 OK").wait_for()
        vector = json.loads(operation.locator("pre").inner_text().partition("\n\n")[2])
        assert len(vector[0]) == 384
        context.close()


def test_is_readable_on_a_phone(page, url):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{url}/docs")
    page.locator('[id="post-/embed"] summary').click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
