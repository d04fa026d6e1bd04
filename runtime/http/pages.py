"""What describes the API, and what Prometheus scrapes. Rare, so that what they need is imported when they are asked for."""

import msgspec

from ..service.service import Service
from .answers import text_answer
from .messages import Response

DESCRIPTION_MARK = "{{description}}"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)


def metrics(service: Service) -> Response:
    """Counters and histograms of this execution environment, in Prometheus' text format."""
    return text_answer(service.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")


def description(service: Service) -> Response:
    """This description, as OpenAPI 3.1."""
    from .description import describe

    return Response(body=msgspec.json.encode(describe(service)))


def docs(service: Service) -> Response:
    """A page that lists the routes and tries them, without anything from elsewhere."""
    from pathlib import Path

    from .description import describe

    page = Path(__file__).with_name("docs.html").read_text(encoding="utf-8")
    # In a script element only "</" could end it early.
    described = msgspec.json.encode(describe(service)).decode().replace("</", "<\\/")
    response = text_answer(page.replace(DESCRIPTION_MARK, described), "text/html; charset=utf-8")
    response.headers["content-security-policy"] = CONTENT_SECURITY_POLICY
    return response
