"""Exports a model in fp32 to ONNX: its body, from token ids to token vectors, with Optimum; its head, from token vectors to the
result, with torch.

Whatever comes behind the token vectors (a classifier, a language model's projection, layers behind the pooling) is a head. The two
are exported apart, because the body can be rewritten (``graph``) and the head is small.
"""

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from runtime.engine.session import INPUTS

from .checkpoint import exported_types
from .errors import UnsupportedModelError
from .graph.encoder_writer import OUTPUT
from .graph.head import rename_value
from .graph.model import Model, replace_nodes, save_model

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

HEAD_OPSET = 18
"""Operators of this version mean the same in the versions that bodies have."""


def check_architecture(name: str, config: "PretrainedConfig", task: str) -> None:
    """Check that Optimum can export a body with this ``config``, and with inputs that the runtime has.

    Raises:
        UnsupportedModelError: it cannot.
    """
    from optimum.exporters.tasks import TasksManager

    model_type, supported = config.model_type, exported_types()
    if model_type not in supported:
        raise UnsupportedModelError(
            f"{name}: Optimum has no ONNX export for the architecture {model_type!r}; it has for {', '.join(supported)}"
        )
    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model_type=model_type, task="feature-extraction", library_name="transformers"
    )
    inputs = set() if encoder_class(config, task) else constructor(config).inputs.keys() - INPUTS.keys()
    if inputs:
        raise UnsupportedModelError(
            f"{name}: the architecture {model_type!r} takes {', '.join(sorted(inputs))}, which is not supported for the task {task}"
        )


def encoder_class(config: "PretrainedConfig", task: str) -> "type[PreTrainedModel] | None":
    """transformers' class for the encoder alone of T5 and its kin, which an embedding model is; None for any other model."""
    import transformers

    return (
        getattr(transformers, type(config).__name__.replace("Config", "EncoderModel"), None)
        if task == "embed"
        else None
    )


def export_body(model: "PreTrainedModel", folder: Path) -> Path:
    """Export ``model`` by Optimum's configuration of its architecture into ``folder``; returns the path of the ONNX file.

    torch writes the graph alone, and the weights are copied from ``model`` to the disk one after the other: with them, torch and
    Optimum would take four times their size in memory.

    Raises:
        UnsupportedModelError: Optimum or torch cannot export it.
    """
    try:
        _trace(model, folder / "graph.onnx")
    except OSError:
        raise
    except Exception as error:  # Optimum and torch raise whatever their parts raise
        raise UnsupportedModelError(f"{type(model).__name__}: Optimum cannot export it ({error})") from error
    proto = onnx.load(folder / "graph.onnx")
    weights = {name: value.numpy(force=True) for name, value in model.state_dict().items()}
    body = _with_weights(proto, weights)
    rename_value(body.graph, body.graph.output[0].name, OUTPUT)
    return save_model(body, folder)


def _trace(model: "PreTrainedModel", file: Path) -> None:
    """Write the graph of ``model`` as ``file``: its weights are inputs, named as in its ``state_dict``."""
    import torch
    from optimum.exporters.onnx.model_configs import T5EncoderOnnxConfig
    from optimum.exporters.tasks import TasksManager
    from optimum.utils import DEFAULT_DUMMY_SHAPES

    task = "feature-extraction"
    if type(model).__name__.endswith("EncoderModel"):  # half of T5 or its kin, of which Optimum expects both
        config = T5EncoderOnnxConfig(model.config, task=task)
    else:
        config = TasksManager.get_exporter_config_constructor("onnx", model, task=task, library_name="transformers")(
            model.config
        )
    model.config.return_dict = True
    for name, value in (config.values_override or {}).items():
        setattr(model.config, name, value)
    example = config.rename_ambiguous_inputs(config.generate_dummy_inputs(framework="pt", **DEFAULT_DUMMY_SHAPES))
    with torch.no_grad(), config.patch_model_for_export(model.eval()):
        inputs = config.ordered_inputs(model)
        torch.onnx.export(
            model,
            (example,),
            file,
            input_names=list(inputs),
            output_names=list(config.outputs),
            dynamic_axes={**inputs, **config.outputs},
            opset_version=config.DEFAULT_ONNX_OPSET,
            export_params=False,
            do_constant_folding=False,
            dynamo=False,
        )


def _with_weights(proto: onnx.ModelProto, weights: dict[str, np.ndarray]) -> Model:
    """The graph ``proto`` with those of its inputs that are ``weights``. The transpose of a weight is a weight."""
    graph, used, names = proto.graph, {}, {}
    inputs = [value for value in graph.input if value.name not in weights]
    nodes = []
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        source = node.input[0] if node.input else ""
        if node.op_type == "Identity" and source in weights:
            names[node.output[0]] = source
        elif node.op_type == "Transpose" and source in weights and weights[source].ndim == 2:
            names[node.output[0]] = f"{source}.transposed"
            weights[f"{source}.transposed"] = weights[source].T
        else:
            nodes.append(node)
            used |= {name: weights[name] for name in node.input if name in weights}
    replace_nodes(graph, nodes)
    del graph.input[:]
    graph.input.extend(inputs)
    return Model(proto, used)


def export_head(head: "torch.nn.Module", hidden: int, output: str, file: Path) -> Path:
    """Export ``head``, which takes token vectors [1, tokens, hidden], as ``file``; returns it.

    Args:
        output: name of its result in the manifest's ``graph.outputs``.

    Raises:
        UnsupportedModelError: torch cannot export it.
    """
    import torch

    example = torch.linspace(-1, 1, 7 * hidden).reshape(1, 7, hidden)
    try:
        torch.onnx.export(
            head.eval(),
            (example,),
            file,
            input_names=["body"],
            output_names=[output],
            dynamic_axes={"body": {1: "tokens"}},
            opset_version=HEAD_OPSET,
            dynamo=False,
        )
    except Exception as error:  # torch raises whatever its parts raise
        raise UnsupportedModelError(
            f"{type(head).__name__}: torch cannot export what follows the token vectors ({error})"
        ) from error
    return file


def silence_libraries() -> None:
    """Silence the libraries' own messages, which would bury our lines of progress on a good run."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("transformers", "optimum", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="transformers|torch|optimum|sentence_transformers")
