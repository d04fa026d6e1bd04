"""The interface of an original, and loading one with sentence-transformers."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..checkpoint import CONFIG_FILE, TOKENIZER_CONFIG_FILE, Checkpoint, read_json
from ..describe import Description
from ..errors import CheckpointError
from ..progress import track
from ..samples import Sample

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
Texts = Sequence[str] | Sequence[tuple[str, str]]


class Original(Protocol):
    """A checkpoint, loaded in fp32."""

    config: dict[str, Any]
    """transformers' configuration of the body."""

    def __init__(self, checkpoint: Checkpoint, description: Description) -> None: ...

    def results(self, texts: Texts, prompt: str = "") -> np.ndarray:
        """The result for each text behind ``prompt``, or each pair of texts, one at a time: a batch would be padded."""
        ...

    def export(self, folder: Path) -> tuple[Path, Path | None]:
        """Write the body, from token ids to ``token_vectors``, and the head behind it, if there is one, as ONNX in fp32."""
        ...


def load(kind: Callable, folder: Path, **options: Any):
    """An instance of ``kind``, a class of sentence-transformers, for the checkpoint in ``folder``: fp32 on the CPU, without code of
    its own.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    import torch

    try:
        with tempfile.TemporaryDirectory() as texts_only:
            _link(folder, Path(texts_only))
            return kind(
                texts_only,
                device="cpu",
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"dtype": torch.float32, "attn_implementation": "eager"},
                **options,
            )
    except (
        Exception
    ) as error:  # safetensors, pickle, zipfile, transformers and sentence-transformers each raise their own
        raise CheckpointError(f"{folder}: its weights cannot be loaded ({error})") from error


def _link(folder: Path, to: Path) -> None:
    """Fill ``to`` with links to the files of ``folder``, but for those that describe a processor of images or sounds, and with its
    configurations without the Python that they name: transformers would stop at it where it has no class of its own."""
    for path in folder.rglob("*"):
        place = to / path.relative_to(folder)
        if path.is_dir():
            place.mkdir()
        elif path.name in (CONFIG_FILE, TOKENIZER_CONFIG_FILE):
            content = read_json(path.parent, path.name, dict[str, Any])
            place.write_text(json.dumps({key: value for key, value in content.items() if key != "auto_map"}))
        elif path.name not in PROCESSORS:
            place.symlink_to(path.resolve())


def check_prompts(model: Any, description: Description, checkpoint: Checkpoint) -> None:
    """Check that sentence-transformers' ``model`` has the prompts that :func:`..describe.describe` read.

    Raises:
        CheckpointError: it has others.
    """
    read = {name: prompt for name, prompt in description.own_prompts.items() if prompt}, description.default_prompt
    loaded = {name: prompt for name, prompt in model.prompts.items() if prompt}, model.default_prompt_name
    if read != loaded:
        raise CheckpointError(
            f"{checkpoint.folder}: its prompts and their default are {read} here and {loaded} in sentence-transformers"
        )


def compute(
    original: Original, samples: Sequence[Sample], prompts: Mapping[str, str], checkpoint: Checkpoint
) -> Sequence[np.ndarray]:
    """The results of ``original`` for ``samples``, whose prompts are among ``prompts`` by name.

    Raises:
        CheckpointError: its class fails, as when its tokenizer gives what it does not take.
    """
    try:
        return [original.results([each.text], prompts.get(each.prompt_name, ""))[0] for each in track(samples, "texts")]
    except Exception as error:  # transformers and torch raise whatever their parts raise
        raise CheckpointError(f"{checkpoint.folder}: sentence-transformers cannot compute with it ({error})") from error


def head_of(model: "PreTrainedModel", finish: Callable[["torch.Tensor"], "torch.Tensor"]) -> "torch.nn.Module":
    """All of ``model`` behind its body, as a module from token vectors to ``finish`` of its logits. ``model`` loses its body."""
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

    class GivenTokenVectors(torch.nn.Module):
        """Takes the place of the body. A pooler belongs to the body, but computes with token vectors."""

        def __init__(self, body: torch.nn.Module) -> None:
            super().__init__()
            self.config = body.config
            self.pooler = getattr(body, "pooler", None)
            # ALBERT's pooler is a linear layer, and its activation another module.
            self.activation = getattr(body, "pooler_activation", None)
            self.token_vectors: torch.Tensor | None = None

        def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
            pooled = None
            if self.pooler is not None:
                pooled = (
                    self.activation(self.pooler(self.token_vectors[:, 0]))
                    if self.activation
                    else self.pooler(self.token_vectors)
                )
            return BaseModelOutputWithPoolingAndCrossAttentions(
                last_hidden_state=self.token_vectors, pooler_output=pooled
            )

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.body = GivenTokenVectors(model.base_model)
            setattr(model, model.base_model_prefix, self.body)

        def forward(self, token_vectors: torch.Tensor) -> torch.Tensor:
            self.body.token_vectors = token_vectors
            # Any ids that are not padding: one text is not padded.
            ids = torch.ones(token_vectors.shape[:2], dtype=torch.long) * ((model.config.pad_token_id or 0) + 1)
            return finish(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)

    return Head().eval()
