"""The comparison with TEI over HTTP: this project's server, which speaks TEI's API, stands in for one."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from benchmarks import report, tei
from runtime.engine.engine import Engine
from tests.runtime.conftest import make_handler, serving

TEXTS = {"16": ["passage: a short text"], "batch": ["passage: one", "passage: two"]}


@pytest.fixture(scope="module")
def engine(artifact) -> Engine:
    return Engine.load(artifact, threads=1)


def compare(url: str, artifact) -> dict:
    return tei.measure(url, artifact, TEXTS, 1, lambda line: None)


def test_both_are_measured_with_the_same_texts(engine, artifact):
    with serving(make_handler(engine)) as url:
        results = compare(f"{url}/", artifact)

    assert results["cosine"] == pytest.approx(1, abs=1e-6)
    assert results["info"]["model_id"] == engine.manifest.model.id
    assert all(0 < results[side][load] < 10_000 for side in ("ours", "tei") for load in TEXTS)
    lines = list(tei.lines(results, {load: report.LOADS[load] for load in TEXTS}))
    assert lines[3] == "| over HTTP: ms (× this project) | 16 tokens | batch of 32 |"
    assert lines[-1] == (
        f"| TEI | {results['tei']['16']:.1f} ({results['tei']['16'] / results['ours']['16']:.2f}) "
        f"| {results['tei']['batch']:.1f} ({results['tei']['batch'] / results['ours']['batch']:.2f}) |"
    )


class Answers(BaseHTTPRequestHandler):
    """Answers each POST with ``answer``, a status and a body."""

    answer = (200, b"")

    def do_GET(self) -> None:
        self._send(200, b'{"model_id": "another/model", "model_dtype": "float32", "version": "1.8.3"}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._send(*self.answer)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, b"[[1.0, 0.0]]"), r"serves another model \(another/model\): .* is 0.00, and of one model at least 0.95"),
        ((200, str([[1.0] + [0.0] * 383]).encode()), r"serves another model"),
        ((200, b"no JSON"), r"does not answer with JSON"),
        (
            (413, b'{"error": "batch size 32 > maximum allowed batch size 8", "error_type": "Validation"}'),
            r"too large \(413: .*batch size 8.*32 texts and 4224 tokens; see TEI",
        ),
        ((429, b'{"error": "Model is overloaded", "error_type": "Overloaded"}'), r"answers 429: .*overloaded"),
    ],
)
def test_what_cannot_be_compared_is_an_error(artifact, answer, message):
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), {"answer": answer}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(tei.TeiError, match=message):
            compare(f"http://127.0.0.1:{server.server_port}", artifact)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "localhost", "http://[", "http://name.invalid"])
def test_a_url_where_nothing_answers(artifact, url):
    with pytest.raises(tei.TeiError, match=r"/info does not answer: "):
        compare(url, artifact)
