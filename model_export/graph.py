"""The shipped graph: from Optimum's fp32 export to one that loads in milliseconds and computes in int8."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.manifest import GraphInfo


def build_graph(fp32: Path, out: Path, precision: str, config: dict[str, Any], say: Callable[[str], None]) -> GraphInfo:
    """Write ``model.onnx`` and its weights ``model.bin`` into ``out``; ``config`` is the checkpoint's ``config.json``."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = fp32.parent / "quantized.onnx"
    if precision == "exact":
        quantized = fp32
    else:
        quantize_dynamic(fp32, quantized, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    model = onnx.load(quantized)
    onnx.save(model, out / "model.onnx", save_as_external_data=True, location="model.bin", size_threshold=1024)
    return GraphInfo(inputs=[value.name for value in model.graph.input], output=model.graph.output[0].name)
