"""Loads a checkpoint's model in fp32 with transformers, and exports it to ONNX with Optimum."""

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoint import CONFIG_FILE, Checkpoint
from .errors import CheckpointError, UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FP32_FILE = "model.onnx"
TOKEN_VECTORS = "token_vectors"


def load_model(checkpoint: Checkpoint) -> "PreTrainedModel":
    """The model in fp32, ready to run.

    Raises:
        CheckpointError: a file is missing or damaged, or weights are missing.
        UnsupportedModelError: transformers does not know the architecture, or Optimum has no export for it.
    """
    _quiet()
    import optimum.exporters.onnx.model_configs  # noqa: F401  registers the architectures that can be exported
    import torch
    from optimum.exporters.tasks import TasksManager
    from transformers import AutoConfig, AutoModel

    _check_weight_files(checkpoint.folder)
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts raise
        raise UnsupportedModelError(
            f"{checkpoint.folder / CONFIG_FILE}: transformers cannot read it ({error})"
        ) from error
    supported = TasksManager.get_supported_model_type_for_task("feature-extraction", "onnx")
    if config.model_type not in supported:
        raise UnsupportedModelError(
            f"{checkpoint.id}: Optimum has no ONNX export for the architecture {config.model_type!r}; "
            f"it has for {', '.join(sorted(supported))}"
        )
    try:
        model, report = AutoModel.from_pretrained(
            checkpoint.folder,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            trust_remote_code=False,
        )
    except Exception as error:  # safetensors, pickle, zipfile and transformers each raise their own
        raise CheckpointError(f"{checkpoint.folder}: its weights cannot be loaded ({error})") from error
    # transformers fills missing weights with random ones. A pooler's do not matter: token vectors do not pass through it.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise CheckpointError(f"{checkpoint.folder}: lacks weights that the model needs: {', '.join(missing[:5])} …")
    return model.eval()


def export_fp32(model: "PreTrainedModel", folder: Path) -> Path:
    """Export ``model`` with Optimum into ``folder``; returns the path of the ONNX file.

    The output has its name in the manifest's ``graph.outputs``.

    Raises:
        UnsupportedModelError: Optimum cannot export it.
    """
    from optimum.exporters.onnx import onnx_export_from_model

    try:
        onnx_export_from_model(
            model, folder, task="feature-extraction", library_name="transformers", do_validation=False, device="cpu"
        )
    except OSError:
        raise
    except Exception as error:  # Optimum and torch raise whatever their parts raise
        raise UnsupportedModelError(f"{type(model).__name__}: Optimum cannot export it ({error})") from error
    _rename_output(folder / FP32_FILE, TOKEN_VECTORS)
    return folder / FP32_FILE


def _rename_output(file: Path, name: str) -> None:
    import onnx

    model = onnx.load(file, load_external_data=False)
    old = model.graph.output[0].name
    model.graph.output[0].name = name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if value == old else value for value in names]
    onnx.save(model, file)


def _check_weight_files(folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(f"{folder}: has no weights (model.safetensors or pytorch_model.bin)")
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: is damaged ({error})") from error


def _quiet() -> None:
    """Silence the libraries' own messages, which would bury our lines of progress on a good run."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("transformers", "optimum"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="transformers|torch|optimum")
