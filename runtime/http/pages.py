"""The description of the API and the metrics for Prometheus. Rarely asked for, so their imports wait until they are."""

import msgspec

from .answers import text_answer
from .messages import Response
from .route import Call

DESCRIPTION_MARK = "{{description}}"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)


def metrics(call: Call) -> Response:
    """Counters and histograms of this execution environment, in Prometheus' text format."""
    return text_answer(call.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")


def description(call: Call) -> Response:
    """This description, as OpenAPI 3.1."""
    from .description import describe

    return Response(body=msgspec.json.encode(describe(call)))


def docs(call: Call) -> Response:
    """A page that lists the routes and tries them; it loads nothing from other servers."""
    from pathlib import Path

    from .description import describe

    page = Path(__file__).with_name("docs.html").read_text(encoding="utf-8")
    # The description stands in a script element, which "</" would end.
    described = msgspec.json.encode(describe(call)).decode().replace("</", "<\\/")
    response = text_answer(page.replace(DESCRIPTION_MARK, described), "text/html; charset=utf-8")
    response.headers["content-security-policy"] = CONTENT_SECURITY_POLICY
    return response
