"""From Optimum's fp32 export to the graph that ships, which loads in milliseconds and computes mostly in int8.

A model of a known family is read from the export and written anew, in the operators that onnxruntime runs fastest on a CPU: no
mask and no padding (one text at a time), layer normalization *not* fused with its residual (onnxruntime's
SkipLayerNormalization takes ten times as long), and hardly any additions of biases. The export of any other model is
optimized by onnxruntime, and its linear layers are quantized in place.

``docs/fidelity.md`` says what the precisions mean, with measurements.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.engine.manifest import GraphInfo

from ..progress import say
from .arithmetic import Precision
from .encoder import Encoder
from .encoder_writer import ACTIVATIONS, OUTPUT, EncoderWriter
from .families import NotAnEncoderError, prove_equal, read_encoder
from .head import attach_head
from .in_place import quantize_in_place
from .model import read_model, save_model
from .optimize import optimize
from .sessions import open_session, run_texts


def build_graph(
    fp32: Path,
    out: Path,
    precision: Precision,
    config: dict[str, Any],
    calibration: Sequence[Sequence[int]],
    head: Path | None = None,
    pairs: bool = False,
) -> GraphInfo:
    """Write ``model.onnx`` and its weights ``model.bin`` into ``out``.

    Args:
        fp32: Optimum's export of the body; its folder is used for scratch files.
        config: the checkpoint's ``config.json``.
        calibration: token ids of some texts, special tokens included, to measure activations on.
        head: export of what follows the token vectors, if anything does.
        pairs: whether the model reads pairs of texts.
    """
    model = read_model(fp32)
    try:
        encoder = read_encoder(model, OUTPUT, config, pairs)
        if encoder.activation not in ACTIVATIONS:
            raise NotAnEncoderError(f"its activation is {encoder.activation!r}")
        encoder = precision.prepare(encoder, lambda encoder: _activations(encoder, calibration, fp32.parent))
        prove_equal(fp32, EncoderWriter(encoder).write(), calibration)
    except NotAnEncoderError as error:
        say(f"  keeping the exported graph, which is slower than a rewritten one: {error}")
        optimize(model, fp32.parent)
        in_place = precision.quantizes_in_place
    else:
        model = EncoderWriter(encoder, precision.arithmetic).write()
        in_place = False
    if head is not None:
        attach_head(model, head)
        in_place = precision.quantizes_in_place
    if in_place:
        quantize_in_place(model, calibration, fp32.parent)
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    save_model(model, out)
    return GraphInfo(inputs=inputs, outputs=outputs)


def _activations(encoder: Encoder, texts: Sequence[Sequence[int]], scratch: Path) -> list[np.ndarray]:
    """As :data:`.arithmetic.Activations`."""
    writer = EncoderWriter(encoder)
    session = open_session(writer.write(tapped=True), scratch)
    return [np.concatenate([values[0] for values in tap]) for tap in run_texts(session, texts, writer.taps)]
