"""Large models: refused before anything is computed, or exported in little memory."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.shapes import Shape, export, write_checkpoint
from configuration import PROJECT
from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from model_export import progress, resources
from model_export.checkpoint import count_parameters
from model_export.errors import ExportError, UnsupportedModelError


def write_weights(folder: Path, shapes: dict[str, list[int]]) -> None:
    """A ``model.safetensors`` in bfloat16 whose header is right and whose content takes no disk.

    https://huggingface.co/docs/safetensors/index#format
    """
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        start, end = end, end + 2 * rows * columns
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + end)


def large_model(folder: Path, layers: int) -> Path:
    """A checkpoint of 0.5 billion weights a layer, but for its content."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3", "architectures": ["Qwen3Model"]}))
    write_weights(folder, {f"layers.{index}.mlp.down_proj.weight": [16_384, 32_768] for index in range(layers)})
    return folder


@pytest.mark.parametrize(
    ("layers", "precision", "told"),
    [
        (24, "balanced", "12.9 billion parameters take 12,288 MB at precision 'balanced'"),
        (6, "exact", "3.2 billion parameters take 12,288 MB at precision 'exact'"),
    ],
)
def test_a_model_too_large_for_a_function_is_refused_in_seconds(tmp_path, layers, precision, told):
    folder = large_model(tmp_path / "checkpoint", layers)
    start = time.monotonic()
    command = [sys.executable, "-m", "model_export", "-c", f"model={folder}", "-c", f"precision={precision}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert time.monotonic() - start < 10, "not even its content is read"
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {folder}: is too large: {told}, and a Lambda function has at most 10,240 MB of memory\n"
    )


def test_the_largest_model_that_fits_is_not_refused(tmp_path):
    from model_export.checkpoint.size import check_size

    folder = large_model(tmp_path / "checkpoint", 20)
    assert check_size(folder, ModelSettings(model=str(folder))) == folder
    with pytest.raises(UnsupportedModelError):
        check_size(folder, ModelSettings(model=str(folder), precision="exact"))


def test_parameters_are_those_that_transformers_counts(small_bert, save_sentence_model):
    from transformers import AutoModel

    own = AutoModel.from_pretrained(small_bert).num_parameters()
    assert count_parameters(small_bert) == own
    folder, _ = save_sentence_model("mean")
    assert count_parameters(folder) == own


def test_too_little_memory_is_told_before_the_export(small_bert, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resources, "available_memory", lambda: 1_000_000_000)
    with pytest.raises(
        ExportError, match=r"the export needs 1,6\d\d MB of memory, and this machine has 1,000 MB available"
    ):
        artifacts.build(ModelSettings(model=str(small_bert)), tmp_path)
    assert "the export takes up to 1,6" in capsys.readouterr().err.replace("\n", " ")


@pytest.fixture
def limited_group():
    """The folder of a control group with a limit of 300 MB."""
    line = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line), None)
    root = Path("/sys/fs/cgroup/memory") if line else Path("/sys/fs/cgroup")
    own = line or Path("/proc/self/cgroup").read_text().splitlines()[0]
    folder = root / own.split(":", 2)[2].lstrip("/") / f"test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / ("memory.limit_in_bytes" if line else "memory.max")).write_text("300000000")
    except OSError as error:
        pytest.skip(f"makes a control group, which is not allowed here ({error})")
    yield folder
    folder.rmdir()


def test_the_limit_of_a_container_counts(limited_group):
    command = "from model_export.resources import available_memory; print(available_memory())"
    enter = f'echo $$ > {limited_group}/cgroup.procs && exec "$0" -c "$1"'
    run = ["sh", "-c", enter, sys.executable, command]
    inside = int(subprocess.run(run, cwd=PROJECT, capture_output=True, text=True, check=True).stdout)
    assert 200_000_000 < inside < 300_000_000 < resources.available_memory()


def test_long_steps_say_how_much_is_left(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.05)
    for _ in progress.track(range(4), "layers"):
        time.sleep(0.06)
    assert "  2 of 4 layers, about 0 s left" in capsys.readouterr().err.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Bert", "Qwen3"])
def test_an_export_takes_at_most_three_times_its_weights_in_memory(tmp_path, kind):
    """The rewritten graph and one that is kept, from weights in 16 bits, of which torch makes a copy. The libraries take memory too,
    so two sizes are compared. Measured: 2.14 and 2.23 times."""
    peaks, weights = [], []
    for width in (64, 1536):
        options = {
            "num_hidden_layers": 3,
            "num_attention_heads": 8,
            "hidden_size": width,
            "intermediate_size": 2 * width,
        }
        options |= {"vocab_size": 30_522, "max_position_embeddings": 512, "pad_token_id": 0}
        if kind == "Qwen3":
            options |= {"num_key_value_heads": 4, "head_dim": width // 8}
        folder = tmp_path / f"{kind}-{width}"
        write_checkpoint(folder, Shape(kind, 128, "mean", options, "bfloat16"))
        artifact, _, peak = export(folder)
        weights.append(4 * count_parameters(folder))
        peaks.append(peak)
        shutil.rmtree(artifact)
    assert peaks[1] - peaks[0] <= 3 * (weights[1] - weights[0])
    assert peaks[1] <= resources.MEMORY_BASE + resources.MEMORY_FACTOR * weights[1]
