"""Small checkpoints of each family, with random weights and real tokenizers, as transformers and sentence-transformers save them."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
MARKERS = {"query": "[Q] ", "document": "[D] "}
LABELS = {0: "sport", 1: "politics", 2: "weather"}
SENTENCES = [
    "the library opens at nine",
    "Zwei Hunde laufen am Strand",
    "how do I reset my password",
    "x",
    "rain and sun over the old hills, " * 8,
]
FAMILIES: dict[str, Callable[[Path, Path, Path], None]] = {}
"""By name, what writes a checkpoint into a folder; it gets all-MiniLM-L6-v2's folder and a scratch folder too."""


def family(name: str):
    """Register the function below as the one that writes the family ``name``."""

    def register(function):
        FAMILIES[name] = function
        return function

    return register


def save(folder: Path, minilm: Path, kind: str, config: str, types: bool = True, **options) -> None:
    """Write a checkpoint of transformers' class ``kind`` with MiniLM's tokenizer.

    All weights are random, biases and norms too, so that a part that is left out shows; those of a scorer or a sparse model are such that
    results differ from text to text (:func:`spread`). ``types``: whether the tokenizer gives token types, as of a model that has two.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    if not types:
        tokens = {name: getattr(tokenizer, f"{name}_token") for name in ("unk", "sep", "pad", "cls", "mask")}
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(minilm / "tokenizer.json"),
            model_input_names=["input_ids", "attention_mask"],
            model_max_length=128,
            **{f"{name}_token": token for name, token in tokens.items()},
        )
    options = {"vocab_size": len(tokenizer), "max_position_embeddings": 128, "pad_token_id": 0, **options}
    model = getattr(transformers, kind)(getattr(transformers, config)(**options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.05 * torch.randn_like(parameter)
            elif kind.endswith(("ForSequenceClassification", "ForMaskedLM")) and "embeddings" not in name:
                parameter *= 6  # with transformers' own small ones a token's vector hardly depends on the others
    if kind.endswith("ForSequenceClassification"):
        spread(model, tokenizer)
    elif kind.endswith("ForMaskedLM"):
        sparsify(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def spread(model, tokenizer) -> None:
    """Scale the last layer of the scorer ``model`` so that its logits have standard deviation 1, and mean 0 if it has a bias, over pairs
    of :data:`SENTENCES`."""
    import torch

    layer = [part for part in model.modules() if getattr(part, "out_features", 0) == model.config.num_labels][-1]
    with torch.no_grad():
        pairs = product(SENTENCES, SENTENCES)
        encoded = [tokenizer(*pair, truncation=True, max_length=128, return_tensors="pt") for pair in pairs]
        logits = torch.cat([model.eval()(**each).logits for each in encoded])
        factor = 1 / logits.std(0)
        layer.weight *= factor[:, None]
        if layer.bias is not None:
            layer.bias.copy_((layer.bias - logits.mean(0)) * factor)


def sparsify(model) -> None:
    """Let ``model`` give few words of the vocabulary a logit above zero, other ones for other texts, as a trained SPLADE does."""
    import torch

    with torch.no_grad():
        model.get_input_embeddings().weight *= 10
        model.get_output_embeddings().bias.fill_(-4)


def scorer(name: str, kind: str, config: str, labels: int, **options) -> None:
    """Register a model with ``labels`` scores."""

    @family(name)
    def write(folder: Path, minilm: Path, scratch: Path) -> None:
        named = {"num_labels": labels}
        if labels == 3:
            named |= {"id2label": LABELS, "label2id": {label: index for index, label in LABELS.items()}}
        save(folder, minilm, kind, config, **{**SIZE, **named, **options})


scorer("reranker-bert", "BertForSequenceClassification", "BertConfig", 1)
scorer("reranker-electra", "ElectraForSequenceClassification", "ElectraConfig", 1, embedding_size=64)
scorer(
    "reranker-mpnet",
    "MPNetForSequenceClassification",
    "MPNetConfig",
    1,
    types=False,
    max_position_embeddings=130,
    pad_token_id=1,
)
scorer(
    "reranker-modernbert",
    "ModernBertForSequenceClassification",
    "ModernBertConfig",
    1,
    types=False,
    cls_token_id=101,
    sep_token_id=102,
)
scorer(
    "reranker-xlm-roberta",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaConfig",
    1,
    max_position_embeddings=130,
    types=False,
)
scorer("classifier-bert", "BertForSequenceClassification", "BertConfig", 3)
scorer(
    "classifier-multi-label",
    "BertForSequenceClassification",
    "BertConfig",
    3,
    problem_type="multi_label_classification",
)
scorer("classifier-albert", "AlbertForSequenceClassification", "AlbertConfig", 3, embedding_size=64)
scorer("classifier-deberta", "DebertaV2ForSequenceClassification", "DebertaV2Config", 3)


@family("classifier-distilbert")
def _distilbert(folder: Path, minilm: Path, scratch: Path) -> None:
    size = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
    save(folder, minilm, "DistilBertForSequenceClassification", "DistilBertConfig", num_labels=2, types=False, **size)


@family("splade")
def _splade(folder: Path, minilm: Path, scratch: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    save(scratch, minilm, "BertForMaskedLM", "BertConfig", **SIZE)
    modules = [MLMTransformer(str(scratch), max_seq_length=64), SpladePooling("max")]
    SparseEncoder(modules=modules, device="cpu").save(str(folder))


@family("classifier-llama")
def _llama(folder: Path, minilm: Path, scratch: Path) -> None:
    """Its tokenizer puts nothing around texts and pairs."""
    options = {**SIZE, "num_labels": 2, "num_key_value_heads": 2}
    save(folder, minilm, "LlamaForSequenceClassification", "LlamaConfig", types=False, **options)
    without_special_tokens(folder)


def without_special_tokens(folder: Path) -> None:
    """Let the tokenizer in ``folder`` put nothing around texts."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": None}))


def embedder(name: str, behind: Callable[[], list]) -> None:
    """Register a BERT with the modules that ``behind`` makes behind it."""

    @family(name)
    def write(folder: Path, minilm: Path, scratch: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Transformer

        save(scratch, minilm, "BertModel", "BertConfig", **SIZE)
        modules = [Transformer(str(scratch), max_seq_length=64), *behind()]
        SentenceTransformer(modules=modules, device="cpu").save(str(folder))


def _modules():
    import sentence_transformers.sentence_transformer.modules as modules

    return modules


def _dense(*sizes: int, **options):
    from sentence_transformers.base.modules import Dense

    return Dense(*sizes, **options)


embedder("bert", lambda: [_modules().Pooling(64, "mean"), _modules().Normalize()])
embedder("dense", lambda: [_modules().Pooling(64, "mean"), _dense(64, 32), _modules().Normalize()])
embedder("two-dense", lambda: [_modules().Pooling(64, "cls"), _dense(64, 32), _dense(32, 48)])
embedder("dense-of-the-last-token", lambda: [_modules().Pooling(64, "lasttoken"), _dense(64, 32)])
embedder("layer-norm", lambda: [_modules().Pooling(64, "mean"), _modules().LayerNorm(64), _modules().Normalize()])


@family("old-layout")
def _old_layout(folder: Path, minilm: Path, scratch: Path) -> None:
    """``0_Transformer``, as sentence-transformers saved before version 2."""
    from sentence_transformers import SentenceTransformer

    FAMILIES["dense"](folder, minilm, scratch)
    below = folder / "0_Transformer"
    below.mkdir()
    for path in [
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(("modules", "config_sent", "README"))
    ]:
        path.rename(below / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    SentenceTransformer(str(folder), device="cpu")


@family("static")
def _static(folder: Path, minilm: Path, scratch: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    module = _modules().StaticEmbedding(AutoTokenizer.from_pretrained(minilm), embedding_dim=64)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder))


@family("colbert")
def _colbert(folder: Path, minilm: Path, scratch: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    save(folder, minilm, "BertModel", "BertConfig", **SIZE)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    weights = {f"bert.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    weights["linear.weight"] = torch.randn(32, 64)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@family("colbert-of-pylate")
def _colbert_of_pylate(folder: Path, minilm: Path, scratch: Path) -> None:
    """As pylate saves one: the linear layer is a module, and tokens mark queries and documents."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    save(folder, minilm, "BertModel", "BertConfig", vocab_size=30524, **SIZE)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Dense").mkdir()
    dense = {
        "in_features": 64,
        "out_features": 32,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (folder / "1_Dense" / "config.json").write_text(json.dumps(dense))
    save_file({"linear.weight": torch.randn(32, 64)}, folder / "1_Dense" / "model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(MARKERS.values()))
    tokenizer.save_pretrained(folder)
    prefixes = {f"{name}_prefix": marker for name, marker in MARKERS.items()}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prefixes))


@family("matryoshka")
def _matryoshka(folder: Path, minilm: Path, scratch: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    save(scratch, minilm, "BertModel", "BertConfig", **SIZE)
    modules = [Transformer(str(scratch), max_seq_length=64), _modules().Pooling(64, "mean")]
    SentenceTransformer(modules=modules, device="cpu", truncate_dim=16, similarity_fn_name="dot").save(str(folder))
    for name, own in (
        ("config_sentence_transformers.json", {"truncate_dim": 16}),
        ("config.json", {"matryoshka_dimensions": [8, 16]}),
    ):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **own}))


def decoder(name: str, kind: str, config: str, **options) -> None:
    """Register a model with causal attention (Gemma's is bidirectional) that takes the vector of the last token."""

    @family(name)
    def write(folder: Path, minilm: Path, scratch: Path) -> None:
        size = {**SIZE, "num_key_value_heads": 2, "max_position_embeddings": 512, **options}
        save(scratch, minilm, kind, config, types=False, **size)
        save_sentence_model(folder, scratch, [_modules().Pooling(64, "lasttoken"), _modules().Normalize()])


def save_sentence_model(folder: Path, base: Path, behind: list) -> None:
    """Write a sentence-transformers model over the checkpoint ``base``, with an instruction as prompt."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    modules = [Transformer(str(base), max_seq_length=128), *behind]
    prompts = {"query": "Instruct: find an answer\nQuery: "}
    SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save(str(folder))


decoder("decoder-qwen2", "Qwen2Model", "Qwen2Config")
decoder("decoder-qwen3", "Qwen3Model", "Qwen3Config", head_dim=16)
decoder("decoder-mistral", "MistralModel", "MistralConfig", sliding_window=32)
decoder("decoder-llama", "LlamaModel", "LlamaConfig")


@family("gemma3")
def _gemma3(folder: Path, minilm: Path, scratch: Path) -> None:
    """As EmbeddingGemma: bidirectional attention, sliding windows, and two linear layers behind the mean."""
    options = {"num_key_value_heads": 2, "head_dim": 16, "use_bidirectional_attention": True, "sliding_window": 32}
    save(scratch, minilm, "Gemma3TextModel", "Gemma3TextConfig", types=False, **{**SIZE, **options})
    save_sentence_model(
        folder, scratch, [_modules().Pooling(64, "mean"), _linear(64, 128), _linear(128, 64), _modules().Normalize()]
    )


@family("t5")
def _t5(folder: Path, minilm: Path, scratch: Path) -> None:
    """As sentence-t5."""
    size = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    save(scratch, minilm, "T5EncoderModel", "T5Config", types=False, decoder_start_token_id=0, **size)
    save_sentence_model(folder, scratch, [_modules().Pooling(64, "mean"), _linear(64, 32), _modules().Normalize()])


def _linear(*sizes: int):
    import torch

    return _dense(*sizes, bias=False, activation_function=torch.nn.Identity())


@family("published-onnx")
def _published_onnx(folder: Path, minilm: Path, scratch: Path) -> None:
    """As nomic: an architecture that only its own Python knows, and an ONNX file beside it; here BERT's."""
    from optimum.exporters.onnx import onnx_export_from_model
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    FAMILIES["bert"](folder, minilm, scratch)
    model = SentenceTransformer(str(folder), device="cpu")[0].auto_model
    assert isinstance(model, BertModel)
    onnx_export_from_model(
        model.eval(), scratch / "onnx", task="feature-extraction", library_name="transformers", do_validation=False
    )
    (scratch / "onnx").rename(folder / "onnx")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own_bert", "auto_map": {"AutoModel": "modeling_own.OwnModel"}}
    (folder / "config.json").write_text(json.dumps({**config, **own}))


@family("published-onnx-of-a-known-type")
def _published_onnx_of_a_known_type(folder: Path, minilm: Path, scratch: Path) -> None:
    """As jina-embeddings-v2: its type is ``bert``, but its own Python computes something else; here with other weights."""
    FAMILIES["published-onnx"](folder, minilm, scratch)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    save(scratch / "other", minilm, "BertModel", "BertConfig", **{**SIZE, "hidden_act": "relu"})
    (scratch / "other" / "model.safetensors").rename(folder / "model.safetensors")


def encoder(name: str, kind: str, config: str, types: bool = False, **options) -> None:
    """Register an embedding model with a mean behind it."""

    @family(f"encoder-{name}")
    def write(folder: Path, minilm: Path, scratch: Path) -> None:
        save(scratch, minilm, kind, config, types, **{**SIZE, **options})
        save_sentence_model(folder, scratch, [_modules().Pooling(64, "mean"), _modules().Normalize()])


ROBERTA = {"max_position_embeddings": 130, "pad_token_id": 1}
"""Its positions start behind the padding token's id."""
encoder("roberta", "RobertaModel", "RobertaConfig", **ROBERTA)
encoder("xlm-roberta", "XLMRobertaModel", "XLMRobertaConfig", **ROBERTA)
encoder("camembert", "CamembertModel", "CamembertConfig", **ROBERTA)
encoder("mpnet", "MPNetModel", "MPNetConfig", **ROBERTA)
encoder("distilbert", "DistilBertModel", "DistilBertConfig", dim=64, n_layers=2, n_heads=4, hidden_dim=128)
encoder("albert", "AlbertModel", "AlbertConfig", types=True, embedding_size=32)
encoder("electra", "ElectraModel", "ElectraConfig", types=True, embedding_size=32)
encoder("deberta-v2", "DebertaV2Model", "DebertaV2Config", types=True)
encoder("modernbert", "ModernBertModel", "ModernBertConfig", cls_token_id=101, sep_token_id=102)
encoder("relative-positions", "BertModel", "BertConfig", types=True, position_embedding_type="relative_key")
encoder(
    "gemma3",
    "Gemma3TextModel",
    "Gemma3TextConfig",
    num_key_value_heads=2,
    head_dim=16,
    use_bidirectional_attention=True,
)
encoder("mt5", "MT5EncoderModel", "MT5Config", d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)


def stored(name: str):
    """Register a BERT whose files the function below changes."""

    def register(change: Callable[[Path], None]):
        @family(f"stored-{name}")
        def write(folder: Path, minilm: Path, scratch: Path) -> None:
            FAMILIES["bert"](folder, minilm, scratch)
            change(folder)

        return change

    return register


def _resave(folder: Path, **options) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    (model.to(options.pop("dtype")) if "dtype" in options else model).save_pretrained(folder, **options)


@stored("as-bin")
def _as_bin(folder: Path) -> None:
    import torch
    from transformers import AutoModel

    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@stored("in-fp16")
def _in_fp16(folder: Path) -> None:
    import torch

    _resave(folder, dtype=torch.float16)


@stored("in-bf16")
def _in_bf16(folder: Path) -> None:
    import torch

    _resave(folder, dtype=torch.bfloat16)


@stored("in-several-files")
def _in_several_files(folder: Path) -> None:
    _resave(folder, max_shard_size="1MB")
    assert len(list(folder.glob("*.safetensors"))) > 1


@stored("with-vocab-txt-alone")
def _with_vocab_txt_alone(folder: Path) -> None:
    assert (folder / "vocab.txt").exists()
    (folder / "tokenizer.json").unlink()


@stored("with-python-of-its-own")
def _with_python_of_its_own(folder: Path) -> None:
    """Which transformers' own class does without."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoModel": "modeling_own.OwnModel"}}))
