"""Optimizing an exported graph that is kept, so that the runtime can load it as it stands."""

from pathlib import Path

import onnx
import onnxruntime
from onnx import helper, numpy_helper, version_converter

from ..errors import UnsupportedModelError
from .model import Model, names_read

OPSET = 18
"""The least version of ONNX's operators that the quantization in place writes."""

WEIGHT_BYTES = 1 << 16
"""Tensors from this size on are weights, which no optimization needs to know."""

SLOW = ["BiasGeluFusion", "MatMulAddFusion", "SkipLayerNormFusion"]
"""Fusions whose operators are slower than the parts, or hide a linear layer from the quantization."""


def optimize(model: Model, scratch: Path) -> None:
    """Apply onnxruntime's optimizations that do not depend on the CPU, but for :data:`SLOW`, to ``model``.

    Afterwards its opset is :data:`OPSET` or later.

    Its weights stay out of it, as inputs, so that graphs of more than the 2 GB of a protobuf message fit.

    ``scratch``: a folder for a temporary file.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model.proto)
    del small.graph.value_info[:]
    weights = {}
    for name, value in model.weights.items():
        if value.nbytes >= WEIGHT_BYTES:
            weights[name] = value
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            small.graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
        else:
            small.graph.initializer.append(numpy_helper.from_array(value, name))

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

    del model.proto.opset_import[:], model.graph.node[:], model.graph.value_info[:]
    model.proto.opset_import.extend(optimized.opset_import)
    model.graph.node.extend(optimized.graph.node)
    used = names_read(optimized.graph.node)
    model.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in optimized.graph.initializer}
    model.weights |= {name: value for name, value in weights.items() if name in used}


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
