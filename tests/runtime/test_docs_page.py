"""``/docs`` in a real browser: the playground, the routes with their examples, and how it is to read and to use."""

import json
import re
import subprocess
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from runtime.http.auth import ApiKeyAuthenticator
from runtime.http.routes import answerable
from tests.runtime.conftest import MODEL, make_handler, serving
from tests.support.browser import chromium

pytestmark = pytest.mark.slow
KEY = "the-key"
FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']"
LEAST_CONTRAST = 4.5
"""Least contrast of WCAG 2.2 at level AA (1.4.3)."""

# The contrast of every visible text with what is behind it, after WCAG 2.2's definition; a canvas turns colours into bytes.
CONTRASTS = """() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const bytes = color => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([red, green, blue]) => [red, green, blue].map(byte => byte / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = node => {
    const color = bytes(getComputedStyle(node).backgroundColor);
    return color[3] === 255 || !node.parentElement ? color : behind(node.parentElement);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode, node = text.parentElement;
    if (!text.textContent.trim() || !node.checkVisibility() || node.closest("script, :disabled, .hidden")) continue;
    const [one, other] = [luminance(bytes(getComputedStyle(node).color)), luminance(behind(node))];
    found.push([(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), text.textContent.trim()]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, without a window."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """A page that notes its requests and the errors in its console."""
    page = browser.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    yield page
    page.close()


@pytest.fixture
def locked_url(engine):
    """The address of a server that asks for :data:`KEY`."""
    with serving(make_handler(engine, ApiKeyAuthenticator(lambda seconds: {None: KEY}, report=print))) as url:
        yield url


@pytest.fixture
def locked_page(browser):
    """A page of a browser whose user gave :data:`KEY` as password."""
    context = browser.new_context(http_credentials={"username": "anyone", "password": KEY})
    yield context.new_page()
    context.close()


def visit(page, url: str, fragment: str = "") -> None:
    page.goto(f"{url}/docs{fragment}")
    page.locator(".route").first.wait_for()


def opened(page, method: str, path: str):
    """The section of a route, opened."""
    route = page.locator(f'[id="{method}-{path}"]')
    route.evaluate("node => { node.open = true; }")
    return route


def open_all(page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true; })")


def tried(route) -> tuple[int, str]:
    """Presses Try; the status of the answer, and the text that is shown for it."""
    button = route.get_by_role("button", name="Try")
    with route.page.expect_response(lambda response: response.request.resource_type == "fetch") as answered:
        button.click()
    route.locator("button.main:enabled").wait_for()
    return answered.value.status, route.locator("[aria-live]").inner_text()


def compared(page) -> np.ndarray:
    """Presses Compare; the numbers of the heat map."""
    page.get_by_role("button", name="Compare").click()
    page.locator("#outcome").get_by_text("Cosines from").wait_for()
    rows = [row.locator("td").all_inner_texts() for row in page.locator(".map tbody tr").all()]
    return np.array(rows, dtype=float)


def vectors(http: httpx.Client, texts: list[str], prompt_name: str | None = None) -> np.ndarray:
    return np.array(http.post("/embed", json={"inputs": texts, "prompt_name": prompt_name}).json())


def snippet(route, language: str) -> str:
    route.get_by_role("button", name=language, exact=True).click()
    return route.get_by_label("Example", exact=True).inner_text()


def test_shows_the_routes_people_need_and_folds_the_others_away(page, url):
    visit(page, url)
    shown = set(page.locator(".route").evaluate_all("nodes => nodes.map(node => node.id)"))
    folded = set(page.locator("#others tr").evaluate_all("nodes => nodes.map(node => node.id)"))
    for route in answerable("embed"):
        method = route.method.lower()
        if route.path != "/docs":
            assert f"{method}-{route.path}" in shown, route.path
            assert {f"{method}-{path}" for path in route.also} <= folded
    assert not shown & folded
    assert len(shown | folded) == sum(1 + len(route.also) for route in answerable("embed")) - 1
    row = page.locator('[id="post-/invocations"]')
    assert not row.is_visible()
    page.locator("#others summary").click()
    assert row.inner_text().split() == ["POST", "/invocations", "The", "same", "as", "/embed."]


def test_texts_have_no_raw_markup_and_nothing_comes_from_elsewhere(page, url):
    visit(page, url)
    open_all(page)
    compared(page)
    assert "`" not in page.locator("body").inner_text()
    assert page.complaints == []
    assert all(requested.startswith((f"{url}/", "data:")) for requested in page.requested)


def test_heat_map_has_the_cosines_of_the_vectors(page, url, http):
    visit(page, url)
    texts = page.get_by_label("Texts, one a line").input_value().split("\n")
    assert len(texts) == 6
    expected = vectors(http, texts)
    assert compared(page) == pytest.approx(expected @ expected.T, abs=0.0051)
    assert page.locator(".map tbody th").all_inner_texts() == texts
    assert re.match(r"6 texts in \d+ ms\. Cosines from 0\.\d\d", page.locator("#outcome").inner_text())
    shares = page.locator(".map td[title]").evaluate_all(
        "nodes => nodes.map(node => +node.style.getPropertyValue('--share'))"
    )
    cosines = (expected @ expected.T).ravel()
    order = np.argsort(cosines[~np.eye(6, dtype=bool).ravel()])
    assert np.all(np.diff(np.array(shares)[~np.eye(6, dtype=bool).ravel()][order]) >= -1e-3)


def test_each_side_has_its_prompt(page, url, http):
    visit(page, url)
    page.get_by_role("button", name="Search").click()
    sides = [page.locator(f"#{name}").input_value().split("\n") for name in ("texts", "others-texts")]
    expected = vectors(http, sides[0], "query") @ vectors(http, sides[1], "passage").T
    assert compared(page) == pytest.approx(expected, abs=0.0051)
    page.get_by_label("Prompt for the texts", exact=True).select_option("")
    page.get_by_label("Prompt for the texts to compare with").select_option("")
    assert compared(page) == pytest.approx(vectors(http, sides[0]) @ vectors(http, sides[1]).T, abs=0.0051)


def test_a_model_without_prompts_has_none_to_choose(page, url, http):
    info = http.get("/info").json() | {"prompts": {}}
    page.route("**/info", lambda route: route.fulfill(json=info))
    visit(page, url)
    assert not page.locator("#texts-prompt").is_visible()
    assert compared(page).shape == (6, 6)
    assert "With a prompt" not in opened(page, "post", "/embed").get_by_label("Example body").inner_text()


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ("", "Type two texts or more, one a line."),
        ("only one", "Type two texts or more, one a line."),
        ("\n".join(map(str, range(41))), "A side has at most 40 texts here; send more with /embed."),
    ],
)
def test_playground_says_in_a_sentence_why_it_cannot_compare(page, url, texts, sentence):
    visit(page, url)
    page.locator("#texts").fill(texts)
    page.get_by_role("button", name="Compare").click()
    page.locator("#outcome.error").get_by_text(sentence).wait_for()
    assert page.locator("#outcome").inner_text().endswith(".")


def test_playground_says_when_the_endpoint_does_not_answer(page, url):
    visit(page, url)
    page.route("**/embed", lambda route: route.abort())
    page.get_by_role("button", name="Compare").click()
    page.locator("#outcome.error").get_by_text("The endpoint did not answer").wait_for()
    page.unroute("**/embed")
    page.route("**/embed", lambda route: route.fulfill(status=502, body="Bad Gateway"))
    page.get_by_role("button", name="Compare").click()
    page.locator("#outcome.error").get_by_text("502: Bad Gateway.").wait_for()
    page.unroute("**/embed")
    page.route(
        "**/embed", lambda route: route.fulfill(status=413, json={"error": "too long", "error_type": "Validation"})
    )
    page.get_by_role("button", name="Compare").click()
    page.locator("#outcome.error").get_by_text("413: too long.").wait_for()


def test_try_works_for_every_route_and_every_named_example(page, url):
    visit(page, url)
    for node_id in page.locator(".route").evaluate_all("nodes => nodes.map(node => node.id)"):
        route = opened(page, *node_id.split("-", 1))
        select = route.get_by_label("Example body")
        for name in select.locator("option").all_inner_texts() if select.count() else [None]:
            if name:
                select.select_option(name)
            assert tried(route)[0] == 200, (node_id, name)
    assert page.complaints == []


def test_example_answers_begin_as_the_answers_do(page, url):
    def tokens(text: str) -> list[str | float]:
        found = re.findall(r'"[^"]*"|-?\d[\d.e+-]*|[a-z]+', re.sub(r"… \d+ in all", "", text).partition("…")[0])
        return [token if token[0] in '"aefnrtul' else float(token) for token in found]

    visit(page, url)
    examples = 0
    for node_id in page.locator(".route").evaluate_all("nodes => nodes.map(node => node.id)"):
        route = opened(page, *node_id.split("-", 1))
        if not (example := route.get_by_label("Example answer")).count():
            continue
        expected = tokens(example.inner_text())
        tried(route)
        answer = tokens(route.get_by_label("Answer", exact=True).inner_text())
        assert len(expected) > 0
        for one, other in zip(expected, answer, strict=False):
            assert one == other if isinstance(one, str) else one == pytest.approx(other, abs=1e-4), node_id
        examples += 1
    assert examples == 6


def test_answers_are_shortened_until_all_is_asked_for(page, url):
    visit(page, url)
    route = opened(page, "post", "/embed")
    status, text = tried(route)
    assert status == 200 and "384 in all" in text and len(text) < 300
    route.get_by_role("button", name="Show all").click()
    answer = json.loads(route.get_by_label("Answer", exact=True).inner_text())
    assert np.array(answer).shape == (2, 384)
    assert not route.get_by_role("button", name="Show all").is_visible()


def test_shows_errors_as_they_come(page, url):
    visit(page, url)
    route = opened(page, "post", "/embed")
    route.get_by_label("Body of /embed").fill('{"inputs": ""}')
    status, text = tried(route)
    assert status == 400 and "400" in text and "cannot be empty" in text
    route.get_by_label("Body of /embed").fill("no JSON")
    assert tried(route)[0] in (400, 422)


def test_the_path_parameter_is_the_model(page, url):
    visit(page, url)
    route = opened(page, "get", "/v1/models/{model}")
    assert route.get_by_label("model", exact=True).input_value() == MODEL
    assert tried(route)[0] == 200
    assert json.loads(route.get_by_label("Answer", exact=True).inner_text())["id"] == MODEL
    route.get_by_label("model", exact=True).fill(f"{MODEL}:query")
    assert f"{MODEL}%3Aquery" in snippet(route, "curl")
    assert tried(route)[0] == 200
    route.get_by_label("model", exact=True).fill("another")
    status, text = tried(route)
    assert status == 404 and "does not exist" in text


def test_examples_run_as_they_are_copied(locked_page, locked_url):
    """curl and Python as they are; JavaScript in the page, but for the one that imports OpenAI's package."""
    visit(locked_page, locked_url)
    for node_id in locked_page.locator(".route").evaluate_all("nodes => nodes.map(node => node.id)"):
        method, path = node_id.split("-", 1)
        route = opened(locked_page, method, path)
        select = route.get_by_label("Example body")
        for name in select.locator("option").all_inner_texts() if select.count() else [None]:
            if name:
                select.select_option(name)
            for language in ("curl", "Python", "JavaScript"):
                code = snippet(route, language)
                assert f"{locked_url}/" in code and "YOUR_API_KEY" in code, (node_id, language)
                code = code.replace("YOUR_API_KEY", KEY)
                if language == "curl":
                    subprocess.run(["bash", "-ec", f"{code} -sSf"], check=True, stdout=subprocess.DEVNULL)
                elif language == "Python":
                    exec(compile(code, node_id, "exec"), {"print": lambda answer: None})
                elif "import OpenAI" not in code:
                    locked_page.evaluate(f"async () => {{ {code} }}")


def test_examples_follow_the_body_and_quote_it(page, url):
    visit(page, url)
    route = opened(page, "post", "/similarity")
    body = {
        "inputs": {"source_sentence": 'It\'s "here"\n\\', "sentences": ["true", "Ça va?"]},
        "parameters": {"truncate": True, "prompt_name": None},
    }
    route.get_by_label("Body of /similarity").fill(json.dumps(body))
    answer = subprocess.run(["bash", "-ec", f"{snippet(route, 'curl')} -sSf"], check=True, capture_output=True).stdout
    printed = []
    exec(snippet(route, "Python"), {"print": printed.append})
    assert printed == [json.loads(answer)]
    assert len(printed[0]) == 2
    code = snippet(route, "JavaScript")
    assert page.evaluate(f"async () => {{ {code.replace('console.log(', 'return (')} }}") == printed[0]


def test_copies_an_example(browser, url):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    visit(page, url)
    route = opened(page, "post", "/tokenize")
    code = snippet(route, "curl")
    route.get_by_role("button", name="Copy").click()
    route.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == code
    context.close()


def test_tries_with_a_key(locked_page, locked_url):
    visit(locked_page, locked_url)
    compared(locked_page)
    route = opened(locked_page, "post", "/embed")
    locked_page.get_by_label("API key").fill("wrong")
    assert tried(route)[0] == 401
    locked_page.get_by_role("button", name="Compare").click()
    locked_page.locator("#outcome.error").get_by_text("401: ").wait_for()
    locked_page.get_by_label("API key").fill(KEY)
    assert tried(route)[0] == 200


def test_without_info_the_page_says_why_and_starts_again_with_a_key(page, locked_url):
    html = httpx.get(f"{locked_url}/docs", auth=("", KEY)).text
    page.route("**/docs", lambda route: route.fulfill(body=html, content_type="text/html"))
    visit(page, locked_url)
    page.locator("#facts .error").get_by_text("401: ").wait_for()
    page.get_by_label("API key").fill(KEY)
    page.get_by_label("API key").press("Tab")
    page.locator("#facts").get_by_text(MODEL).wait_for()
    assert MODEL in snippet(opened(page, "post", "/v1/embeddings"), "curl")


def test_no_key_is_asked_for_where_none_is_needed(page, url):
    visit(page, url)
    assert not page.locator("#key").is_visible()
    assert "Authorization" not in snippet(opened(page, "post", "/embed"), "curl")


def test_limits_are_those_of_info(page, url, http):
    info = http.get("/info").json()
    visit(page, url)
    facts = page.locator("#facts").inner_text()
    for value in (info["model_id"], *info["prompts"]):
        assert value in facts
    for name in ("dimensions", "max_input_length", "max_client_batch_size", "max_batch_tokens"):
        assert f"{info[name]:,}" in facts


@pytest.mark.parametrize(
    "fragment", ["post-/tokenize", "get-/v1/models/{model}", "post-/invocations", "post-/similarity"]
)
def test_an_address_with_a_route_opens_it(page, url, fragment):
    visit(page, url, f"#{quote(fragment)}")
    target = page.locator(f'[id="{fragment}"]')
    target.locator("td, .body").first.wait_for(state="visible")
    assert target.evaluate(
        "node => { const {top, bottom} = node.getBoundingClientRect(); return bottom > 0 && top < innerHeight; }"
    )


def test_opening_a_route_gives_its_address(page, url):
    visit(page, url)
    page.locator('[id="post-/decode"] summary').click()
    assert page.url == f"{url}/docs#post-/decode"
    page.locator("#others summary").click()
    page.locator('[id="post-/embeddings"] a').click()
    page.locator('[id="post-/v1/embeddings"] .body').wait_for()


def test_works_below_a_path_prefix(page, url):
    page.route(f"{url}/stage/**", lambda route: route.continue_(url=route.request.url.replace("/stage/", "/")))
    visit(page, f"{url}/stage")
    compared(page)
    route = opened(page, "post", "/embed")
    assert tried(route)[0] == 200
    assert f"{url}/stage/embed" in snippet(route, "curl")
    assert all(requested.startswith((f"{url}/stage/", "data:")) for requested in page.requested)


def test_filters_routes_by_path_text_and_field(page, url):
    def visible() -> set[str]:
        return set(
            page.locator(".route:visible, #others tr:not([hidden])").evaluate_all("nodes => nodes.map(node => node.id)")
        )

    visit(page, url)
    page.get_by_label("Filter routes").fill("token")
    assert {"post-/tokenize", "post-/decode", "post-/embed_all"} <= visible() and "get-/v1/models" not in visible()
    page.get_by_label("Filter routes").fill("encoding_format")
    assert visible() == {"post-/v1/embeddings"}
    page.get_by_label("Filter routes").fill("xyz")
    assert visible() == set()
    assert page.locator("#nothing").inner_text() == "No route or field is called “xyz”."
    page.get_by_label("Filter routes").fill("")
    assert "post-/embed" in visible()


def test_is_readable_on_a_phone(page, url):
    page.set_viewport_size({"width": 360, "height": 740})
    visit(page, url)
    open_all(page)
    compared(page)
    for method, path in [("post", "/embed"), ("post", "/v1/embeddings"), ("get", "/openapi.json"), ("get", "/metrics")]:
        tried(opened(page, method, path))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser, url, scheme):
    page = browser.new_page(color_scheme=scheme)
    visit(page, url)
    open_all(page)
    compared(page)
    tried(opened(page, "post", "/tokenize"))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 19, 24)"
    )
    found = page.evaluate(CONTRASTS)
    assert len(found) > 300
    assert [(round(contrast, 2), text) for contrast, text in found if contrast < LEAST_CONTRAST] == []
    page.close()


def test_everything_is_reached_and_seen_by_keyboard(page, url):
    visit(page, url)
    page.evaluate(
        "selector => [...document.querySelectorAll(selector)].filter(node => node.checkVisibility() && !node.disabled)"
        ".forEach((node, index) => { node.dataset.place = index; })",
        FOCUSABLE,
    )
    expected = page.locator("[data-place]").count()
    reached = set()
    for _ in range(expected + 5):
        page.keyboard.press("Tab")
        place, outline = page.evaluate(
            "[document.activeElement.dataset.place, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if place is not None:
            reached.add(int(place))
            assert outline == "solid", page.evaluate("document.activeElement.outerHTML")
    assert reached == set(range(expected))


def test_everything_that_takes_the_focus_has_a_name(page, url):
    visit(page, url)
    open_all(page)
    nameless = page.evaluate(
        "selector => [...document.querySelectorAll(selector)].filter(node => !(node.getAttribute('aria-label') ||"
        " [...node.labels ?? []].map(label => label.textContent).join('') || node.matches('a, button, summary') && node.textContent.trim()))"
        ".map(node => node.outerHTML)",
        FOCUSABLE,
    )
    assert nameless == []


def test_keys_compare_try_and_open(page, url):
    visit(page, url)
    page.locator("#texts").press("Control+Enter")
    page.locator("#outcome").get_by_text("Cosines from").wait_for()
    route = page.locator('[id="post-/tokenize"]')
    route.locator("summary").press("Enter")
    route.get_by_label("Body of /tokenize").press("Control+Enter")
    route.locator("[aria-live]").get_by_text("200").wait_for()
