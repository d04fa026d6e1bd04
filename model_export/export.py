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

from .errors import UnsupportedModelError
from .graph.encoder_writer import OUTPUT
from .graph.head import rename_value

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HEAD_OPSET = 18
"""Operators of this version mean the same in the versions that bodies have."""


def check_architecture(name: str, model_type: str) -> None:
    """Check that Optimum can export a body of this ``model_type``.

    Raises:
        UnsupportedModelError: it cannot.
    """
    import optimum.exporters.onnx.model_configs  # noqa: F401  registers the architectures that can be exported
    from optimum.exporters.tasks import TasksManager

    supported = TasksManager.get_supported_model_type_for_task("feature-extraction", "onnx")
    if model_type not in supported:
        raise UnsupportedModelError(
            f"{name}: Optimum has no ONNX export for the architecture {model_type!r}; it has for {', '.join(sorted(supported))}"
        )


def export_body(model: "PreTrainedModel", folder: Path) -> Path:
    """Export ``model`` with Optimum into ``folder``; returns the path of the ONNX file.

    Raises:
        UnsupportedModelError: Optimum cannot export it.
    """
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.exporters.onnx.model_configs import T5EncoderOnnxConfig

    own = None
    if type(model).__name__.endswith("EncoderModel"):  # half of T5 or its kin, of which Optimum expects both
        own = {"model": T5EncoderOnnxConfig(model.config, task="feature-extraction")}
    try:
        onnx_export_from_model(
            model,
            folder,
            task="feature-extraction",
            library_name="transformers",
            do_validation=False,
            device="cpu",
            custom_onnx_configs=own,
        )
    except OSError:
        raise
    except Exception as error:  # Optimum and torch raise whatever their parts raise
        raise UnsupportedModelError(f"{type(model).__name__}: Optimum cannot export it ({error})") from error
    file = folder / "model.onnx"
    _rename_output(file, OUTPUT)
    return file


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


def _rename_output(file: Path, name: str) -> None:
    import onnx

    model = onnx.load(file, load_external_data=False)
    rename_value(model.graph, model.graph.output[0].name, name)
    onnx.save(model, file)


def silence_libraries() -> None:
    """Silence the libraries' own messages, which would bury our lines of progress on a good run."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("transformers", "optimum", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="transformers|torch|optimum|sentence_transformers")
