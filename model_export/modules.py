"""sentence-transformers' ``modules.json``: the modules that a text passes through, checked before any of them is loaded."""

import re
from pathlib import Path

import msgspec

from .checkpoint import CONFIG_FILE, MODULES_FILE, check_path, read_json
from .errors import UnsupportedModelError

PACKAGE = "sentence_transformers."
"""Classes of modules are sentence-transformers' own: it would import any other that a checkpoint names."""
PYLATE_DENSE = "pylate.models.Dense.Dense"
"""The layer behind the token vectors of a ColBERT, a linear layer as sentence-transformers' own; the class is not loaded."""
ACTIVATION = re.compile(r"torch\.nn\.modules\.(activation|linear)\.\w+")
LINEAR = "linear.weight"
"""The weight of sentence-transformers' ``Dense``, and of the layer behind the token vectors in a checkpoint of the class ``HF_ColBERT``
(https://github.com/stanford-futuredata/ColBERT)."""
FIRST = ("Transformer", "StaticEmbedding", "MLMTransformer")
BEHIND_POOLING = ("Dense", "LayerNorm", "Dropout", "Normalize")

POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""sentence-transformers' keys, in the order in which it concatenates several modes."""


class Module(msgspec.Struct):
    """An entry of ``modules.json``."""

    type: str
    path: str

    @property
    def kind(self) -> str:
        """Name of the class, without that of its module."""
        return self.type.rsplit(".", 1)[-1]


class Layer(msgspec.Struct, frozen=True):
    """A Dense or a LayerNorm, by its configuration."""

    path: str
    """Its folder, below the checkpoint's."""
    takes: int
    """Numbers of a vector that it takes."""
    gives: int
    shapes: dict[str, tuple[int, ...]]
    """Shapes of its weights by name."""


class Modules(msgspec.Struct, frozen=True):
    """The modules of a checkpoint."""

    task: str
    """``embed``, ``multi_vector``, ``sparse``, or ``score`` for a cross-encoder."""
    body: Path
    """Folder of the first module, which has the transformer's files."""
    static: bool = False
    """Whether the first module is a table of token vectors and nothing more."""
    pooling: tuple[str, ...] = ("mean",)
    normalize: bool = False
    layers: tuple[Layer, ...] = ()
    """Those with weights behind the token vectors or the pooling, in order."""


class _TransformerConfig(msgspec.Struct):
    """sentence-transformers' ``sentence_bert_config.json``."""

    max_seq_length: int | None = None
    do_lower_case: bool | None = None


class _PoolingConfig(msgspec.Struct):
    """sentence-transformers' configuration of pooling: its newer versions write ``pooling_mode``, older ones the other keys."""

    pooling_mode: str | list[str] | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False
    include_prompt: bool = True


class _SpladeConfig(msgspec.Struct):
    """sentence-transformers' configuration of SPLADE's pooling."""

    pooling_strategy: str = "max"
    activation_function: str = "relu"


class _DenseConfig(msgspec.Struct):
    in_features: int
    out_features: int
    bias: bool = True
    use_residual: bool = False
    activation_function: str = "torch.nn.modules.activation.Tanh"


class _LayerNormConfig(msgspec.Struct):
    dimension: int


def read_modules(folder: Path) -> Modules | None:
    """The modules that ``modules.json`` in ``folder`` names; None if there is no such file.

    Raises:
        CheckpointError: the file, or one that it names, is missing or malformed.
        UnsupportedModelError: they are not modules that can be served.
    """
    file = folder / MODULES_FILE
    if not file.exists():
        return None
    modules = read_json(folder, MODULES_FILE, list[Module])
    for module in modules:
        check_path(module.path, file)
        if not module.type.startswith(PACKAGE) and module.type != PYLATE_DENSE:
            raise UnsupportedModelError(
                f"{file}: has the module {module.type}, Python code of its own, which is not run"
            )
    kinds = [module.kind for module in modules]
    if not kinds or kinds[0] not in FIRST or any(kind in FIRST for kind in kinds[1:]):
        raise UnsupportedModelError(f"{file}: has the modules {kinds}; one of {', '.join(FIRST)} has to be the first")
    body = folder / modules[0].path
    if kinds[0] != "StaticEmbedding" and transformer_config(body).do_lower_case:
        raise UnsupportedModelError(f"{folder}: lower-cases texts before its tokenizer, which is not supported")
    if any(kind == "SpladePooling" for kind in kinds):
        _check_splade(file, folder, modules)
        return Modules("sparse", body)
    if kinds == ["Transformer"] and _is_cross_encoder(folder):
        return Modules("score", body)
    if modules[-1].type == PYLATE_DENSE or kinds == ["Transformer", "Dense"]:
        _check_kinds(file, modules[1:], ("Dense",))
        for module in modules[1:]:
            _check_plain(folder / module.path)
        return Modules("multi_vector", body, layers=_layers(folder, modules[1:]))
    rest = modules[1:]
    if kinds[0] == "StaticEmbedding":
        pooling = ["mean"]
    elif rest and rest[0].kind == "Pooling":
        pooling, rest = _pooling(folder / rest[0].path), rest[1:]
    else:
        _check_kinds(file, rest, ("Pooling", *BEHIND_POOLING))
        raise UnsupportedModelError(
            f"{file}: names no Pooling behind the Transformer, so it gives no vector for a text"
        )
    _check_kinds(file, rest, BEHIND_POOLING)
    return Modules(
        "embed",
        body,
        static=kinds[0] == "StaticEmbedding",
        pooling=tuple(pooling),
        normalize=bool(rest) and rest[-1].kind == "Normalize",
        layers=_layers(folder, rest),
    )


def transformer_config(body: Path) -> _TransformerConfig:
    """sentence-transformers' own configuration of the transformer in the folder ``body``."""
    return read_json(body, "sentence_bert_config.json", _TransformerConfig, _TransformerConfig())


def _layers(folder: Path, modules: list[Module]) -> tuple[Layer, ...]:
    """Those of ``modules`` that have weights.

    Raises:
        CheckpointError: a configuration is missing or malformed.
        UnsupportedModelError: an activation is no class of torch's, which sentence-transformers would import.
    """
    layers = []
    for module in modules:
        below = folder / module.path
        if module.kind == "LayerNorm":
            width = read_json(below, CONFIG_FILE, _LayerNormConfig).dimension
            layers.append(Layer(module.path, width, width, {"norm.weight": (width,), "norm.bias": (width,)}))
        elif module.kind == "Dense":
            config = read_json(below, CONFIG_FILE, _DenseConfig)
            if not ACTIVATION.fullmatch(config.activation_function):
                raise UnsupportedModelError(
                    f"{below / CONFIG_FILE}: has the activation {config.activation_function}; only classes of torch.nn.modules are allowed"
                )
            takes, gives = config.in_features, config.out_features
            bias = {"linear.bias": (gives,)} if config.bias else {}
            layers.append(Layer(module.path, takes, gives, {LINEAR: (gives, takes), **bias}))
    return tuple(layers)


def _check_plain(folder: Path) -> None:
    """Check that the layer of a ColBERT in ``folder`` is a product and nothing more."""
    config = read_json(folder, CONFIG_FILE, _DenseConfig)
    if config.bias or config.use_residual or not config.activation_function.endswith(".Identity"):
        raise UnsupportedModelError(
            f"{folder / CONFIG_FILE}: has a bias, an activation or a residual, which is not supported behind token vectors"
        )


def _check_kinds(file: Path, modules: list[Module], allowed: tuple[str, ...]) -> None:
    for module in modules:
        if module.kind not in allowed:
            raise UnsupportedModelError(
                f"{file}: has the module {module.type} there, which is not supported; supported are {', '.join(allowed)}"
            )


def _check_splade(file: Path, folder: Path, modules: list[Module]) -> None:
    if len(modules) != 2 or modules[0].kind == "StaticEmbedding":
        kinds = ", ".join(module.kind for module in modules)
        raise UnsupportedModelError(
            f"{file}: has the modules {kinds}; a sparse model has MLMTransformer and SpladePooling"
        )
    config = read_json(folder / modules[1].path, CONFIG_FILE, _SpladeConfig, _SpladeConfig())
    if config.pooling_strategy != "max" or config.activation_function != "relu":
        raise UnsupportedModelError(
            f"{file}: its SpladePooling takes the {config.pooling_strategy} by {config.activation_function}; supported is max by relu"
        )


def _is_cross_encoder(folder: Path) -> bool:
    class Config(msgspec.Struct):
        model_type: str = "SentenceTransformer"

    return read_json(folder, "config_sentence_transformers.json", Config, Config()).model_type == "CrossEncoder"


def _pooling(folder: Path) -> list[str]:
    path = folder / CONFIG_FILE
    config = read_json(folder, CONFIG_FILE, _PoolingConfig)
    if config.include_prompt is False:
        raise UnsupportedModelError(f"{path}: leaves the prompt out of pooling, which is not supported")
    stated = config.pooling_mode
    if stated is None:
        return [mode for key, mode in POOLING_KEYS.items() if getattr(config, key)] or ["mean"]
    modes = [stated] if isinstance(stated, str) else stated
    unknown = [mode for mode in modes if mode not in POOLING_KEYS.values()]
    if unknown or not modes:
        raise UnsupportedModelError(f"{path}: pools by {modes}; supported are {list(POOLING_KEYS.values())}")
    return modes
