"""What describes the API, and what Prometheus scrapes. Rare, so that what they need is imported when they are asked for."""

from ..events import Response
from ..service import Service
from .answers import text_answer


def metrics(service: Service) -> Response:
    """Counters and histograms of this execution environment, in Prometheus' text format."""
    return text_answer(service.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")


def description(service: Service) -> Response:
    """This description, as OpenAPI 3.1."""
    import msgspec

    from .description import describe

    return Response(body=msgspec.json.encode(describe(service)))


def docs(service: Service) -> Response:
    """A page that lists the routes and tries them."""
    from .docs import page

    return text_answer(page(service), "text/html; charset=utf-8")
