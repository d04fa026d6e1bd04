"""``exact``: fp32 throughout."""

from ..graph.algebra import fold_biases
from ..graph.arithmetic import Activations, Arithmetic, Precision
from ..graph.encoder import Encoder


def _prepare(encoder: Encoder, activations: Activations) -> Encoder:
    return fold_biases(encoder)


EXACT = Precision("exact", threshold=0.9995, arithmetic=Arithmetic, prepare=_prepare, quantizes_in_place=False)
