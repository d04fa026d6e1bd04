"""``exact``: fp32 throughout."""

from ..graph.arithmetic import Arithmetic, Precision

EXACT = Precision("exact", threshold=0.9995, arithmetic=Arithmetic, quantizes_in_place=False)
