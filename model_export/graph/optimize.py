"""Optimizing an exported graph that is kept, so that the runtime can load it as it stands."""

from pathlib import Path

import onnx
import onnxruntime
from onnx import helper, version_converter

from ..errors import UnsupportedModelError
from .writer import to_bytes

OPSET = 18
"""The least version of ONNX's operators that the quantization in place writes."""

WEIGHT_BYTES = 1 << 16
"""Tensors from this size on are weights, which no optimization needs to know."""

SLOW = ["BiasGeluFusion", "MatMulAddFusion", "SkipLayerNormFusion"]
"""Fusions whose operators are slower than the parts, or hide a linear layer from the quantization."""


def optimize(model: onnx.ModelProto, scratch: Path) -> None:
    """Apply onnxruntime's optimizations that do not depend on the CPU, but for :data:`SLOW`, to ``model``.

    Afterwards its opset is :data:`OPSET` or later.

    Its weights stay out of it, as inputs, so that graphs of more than the 2 GB of a protobuf message fit.

    ``scratch``: a folder for a temporary file.
    """
    weights = [tensor for tensor in model.graph.initializer if to_bytes(tensor) >= WEIGHT_BYTES]
    names = {tensor.name for tensor in weights}
    small = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    small.graph.name = model.graph.name
    small.graph.node.extend(model.graph.node)
    small.graph.output.extend(model.graph.output)
    small.graph.input.extend(model.graph.input)
    small.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in weights
    )
    small.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in names)

    small = raise_opset(small)
    file = scratch / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(file)
    onnxruntime.InferenceSession(
        small.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW
    )
    optimized = onnx.load(file)
    file.unlink()

    del model.opset_import[:], model.graph.node[:], model.graph.value_info[:]
    model.opset_import.extend(optimized.opset_import)
    model.graph.node.extend(optimized.graph.node)
    used = {name for node in optimized.graph.node for name in node.input}
    kept = [tensor for tensor in weights if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*optimized.graph.initializer, *kept])


def raise_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, whose weights may be inputs, with operators of :data:`OPSET` or later.

    Raises:
        UnsupportedModelError: onnx cannot convert them.
    """
    opset = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    if opset >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises whatever its parts raise
        reason = str(error).strip().split("\n")[0]
        raise UnsupportedModelError(
            f"its ONNX operators are of opset {opset}, which onnx cannot convert to {OPSET} ({reason})"
        ) from error
