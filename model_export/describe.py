"""Reads a checkpoint's description of itself: task, pooling, normalization, length, prompts.

The files are those that sentence-transformers writes (``modules.json`` and the files that it names) and transformers'
``config.json``. Where a checkpoint says nothing, sentence-transformers' own defaults hold, and a line of progress says so.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import CONFIG_FILE, Checkpoint
from .errors import CheckpointError, UnsupportedModelError
from .progress import say

POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""sentence-transformers' keys, in the order in which it concatenates several modes."""

CARD_PROMPTS: list[tuple[str, dict[str, str]]] = [
    (
        r"(^|/)(multilingual-)?e5-(small|base|large)(-v2)?(-unsupervised)?$",
        {"query": "query: ", "passage": "passage: "},
    ),
    (
        r"(^|/)bge-(small|base|large)-en(-v1\.5)?$",
        {"query": "Represent this sentence for searching relevant passages: "},
    ),
]
"""Prompts that a model's card asks for but its checkpoint does not name: https://huggingface.co/intfloat/multilingual-e5-small
and https://huggingface.co/BAAI/bge-small-en-v1.5. A request asks for one by its name; by default none is used."""

NO_LENGTH = 100_000
"""transformers writes a huge ``model_max_length`` for a tokenizer that has none."""


@dataclass(frozen=True)
class Description:
    """A checkpoint's description of itself."""

    task: str
    """As in the manifest."""
    architecture: str
    model_type: str
    hidden: int
    pooling: list[str]
    normalize: bool
    max_tokens: int
    prompts: dict[str, str]
    default_prompt: str | None

    @property
    def dimensions(self) -> int:
        """Length of a pooled vector."""
        return self.hidden * len(self.pooling)


def describe(checkpoint: Checkpoint, max_tokens: int | None, prompts: dict[str, str] | None) -> Description:
    """Read the description of ``checkpoint``; ``max_tokens`` may lower its length, ``prompts`` replaces its prompts.

    Raises:
        CheckpointError: a file is missing or damaged, or ``max_tokens`` is more than the model reads.
        UnsupportedModelError: it has modules that the runtime does not serve.
    """
    folder = checkpoint.folder
    config = _json(folder / CONFIG_FILE, required=True)
    if "model_type" not in config:
        raise CheckpointError(f"{folder / CONFIG_FILE}: names no model_type; is this a transformers checkpoint?")
    pooling, normalize = _modules(folder)
    own = _json(folder / "config_sentence_transformers.json")
    if prompts is None:
        prompts = own.get("prompts") or _card_prompts(checkpoint.id)
    default_prompt = own.get("default_prompt_name")
    if default_prompt is not None and default_prompt not in prompts:
        raise CheckpointError(f"{folder}: its default prompt {default_prompt!r} is none of {sorted(prompts)}")
    return Description(
        task="embed",
        architecture=(config.get("architectures") or ["unknown"])[0],
        model_type=config["model_type"],
        hidden=_first(config, "hidden_size", "dim", "d_model", file=folder / CONFIG_FILE),
        pooling=pooling,
        normalize=normalize,
        max_tokens=_length(folder, config, max_tokens),
        prompts=prompts,
        default_prompt=default_prompt,
    )


def _json(path: Path, *, required: bool = False) -> Any:
    if not path.exists():
        if required:
            raise CheckpointError(f"{path}: is missing")
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from error


def _modules(folder: Path) -> tuple[list[str], bool]:
    """Pooling modes, and whether vectors are normalized."""
    if not (folder / "modules.json").exists():
        say("  the checkpoint says nothing of pooling: mean, not normalized, as sentence-transformers does")
        return ["mean"], False
    pooling, normalize = None, False
    for module in _json(folder / "modules.json"):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Transformer" and pooling is None:
            if _json(folder / module["path"] / "sentence_bert_config.json").get("do_lower_case"):
                raise UnsupportedModelError(f"{folder}: lower-cases texts before its tokenizer, which is not supported")
        elif kind == "Pooling" and pooling is None:
            pooling = _pooling(folder / module["path"] / CONFIG_FILE)
        elif kind == "Normalize":
            normalize = True
        else:
            raise UnsupportedModelError(
                f"{folder}: has the module {module['type']}; supported are Transformer, Pooling and Normalize"
            )
    if pooling is None:
        raise UnsupportedModelError(f"{folder}: its modules.json names no Pooling, so it gives no vector for a text")
    return pooling, normalize


def _pooling(path: Path) -> list[str]:
    config = _json(path, required=True)
    if config.get("include_prompt") is False:
        raise UnsupportedModelError(f"{path}: leaves the prompt out of pooling, which is not supported")
    stated = config.get("pooling_mode")
    if stated is None:
        return [mode for key, mode in POOLING_KEYS.items() if config.get(key)] or ["mean"]
    modes = [stated] if isinstance(stated, str) else list(stated)
    unknown = [mode for mode in modes if mode not in POOLING_KEYS.values()]
    if unknown:
        raise UnsupportedModelError(f"{path}: pools by {unknown}; supported are {list(POOLING_KEYS.values())}")
    return modes


def _length(folder: Path, config: dict[str, Any], asked: int | None) -> int:
    """The most tokens read of a text: by sentence-transformers' configuration, else the tokenizer's, at most the model's."""
    positions = config.get("max_position_embeddings") or config.get("n_positions") or NO_LENGTH
    if config["model_type"] in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        # Their positions start behind the padding token's id.
        positions -= config.get("pad_token_id", 1) + 1
    tokenizer = min(_json(folder / "tokenizer_config.json").get("model_max_length", NO_LENGTH), NO_LENGTH)
    stated = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    length = min(stated or tokenizer, positions)
    if length >= NO_LENGTH:
        raise CheckpointError(f"{folder}: says nothing of its maximum length; set max_tokens")
    if asked and asked > length:
        raise CheckpointError(f"max_tokens: {asked} is not allowed: the model reads at most {length} tokens")
    return asked or int(length)


def _card_prompts(model_id: str) -> dict[str, str]:
    return next((dict(prompts) for pattern, prompts in CARD_PROMPTS if re.search(pattern, model_id)), {})


def _first(config: dict[str, Any], *keys: str, file: Path) -> int:
    for key in keys:
        if key in config:
            return config[key]
    raise CheckpointError(f"{file}: has none of {', '.join(keys)}")
