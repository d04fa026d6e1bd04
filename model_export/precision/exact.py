"""``exact``: fp32 throughout."""

from ..graph.arithmetic import Arithmetic, Precision

EXACT = Precision(
    "exact",
    threshold=0.9995,
    score_threshold=0.002,
    words_threshold=0.95,
    arithmetic=Arithmetic,
    quantizes_in_place=False,
)
