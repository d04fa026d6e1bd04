"""Precisions: ``exact``, ``balanced`` and ``fast``, each an object with all that makes it one (:class:`~..graph.arithmetic.Precision`).

A new precision is a new module here, a line in :data:`PRECISIONS`, and its name in ``ModelSettings.precision``.
"""

from ..errors import ExportError
from ..graph.arithmetic import Precision
from .balanced import BALANCED
from .exact import EXACT
from .fast import FAST

PRECISIONS: dict[str, Precision] = {precision.name: precision for precision in (FAST, BALANCED, EXACT)}
"""By name, from the fastest to the most faithful."""


def find_precision(name: str) -> Precision:
    """The precision ``name``.

    Raises:
        ExportError: there is none of that name; the message lists those that there are.
    """
    if name not in PRECISIONS:
        raise ExportError(f"precision: {name!r} is not allowed: it must be one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
