"""A record of the embedded artifact, and the number of the recipe that it was made by: ``recipe.json``.

    python -m tests.model_export.recipe

writes it anew, after a deliberate change with which ``model_export.artifact.RECIPE`` was raised, or after an upgrade of a tool.

The record has the vectors of three texts, and of the graph a hash of its operators and the norm of each constant. The norms are
there since vectors alone cannot show a small change: another CPU's last bits turn some roundings to int8 around, and after twelve
layers that moves a vector as far as a deliberate change does. A norm hardly moves.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import GRAPH_FILE, Engine

FILE = Path(__file__).with_name("recipe.json")
TEXTS = (
    "query: how long does cement take to dry in winter",
    "passage: Die Fähre zur Insel legt jeden Morgen um sieben ab, sofern der Wind nicht zu stark ist.",
    "除非风太大,否则开往岛上的渡轮每天早上七点出发。",
)


def record(folder: Path) -> dict:
    """The record of the artifact in ``folder``."""
    return {
        "recipe": artifacts.RECIPE,
        "operators": hash_operators(folder),
        "norms": norms(folder),
        **vectors(Engine.load(folder, threads=1)),
    }


def hash_operators(folder: Path) -> str:
    """SHA-256 of all of the graph but its constants."""
    model = onnx.load(folder / GRAPH_FILE, load_external_data=False)
    del model.graph.initializer[:]
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def norms(folder: Path) -> dict[str, float]:
    """The Euclidean norm of each constant of the graph, by its name, to six digits."""
    constants = onnx.load(folder / GRAPH_FILE).graph.initializer
    values = {constant.name: numpy_helper.to_array(constant).astype(np.float64) for constant in constants}
    return {name: float(f"{np.linalg.norm(value):.6g}") for name, value in values.items()}


def vectors(engine: Engine) -> dict[str, list[list[float]]]:
    """Vectors of :data:`TEXTS` before normalization (``pooled``) and after, to four decimals."""
    ids = [engine.with_special_tokens(engine.tokenize(text)) for text in TEXTS]
    return {
        name: [np.round(engine.embed(each, normalize).astype(float), 4).tolist() for each in ids]
        for name, normalize in (("pooled", False), ("normalized", True))
    }


def main() -> None:
    """Make the artifact if need be, and write its record."""
    made = record(artifacts.build(ModelSettings(model=EMBEDDED)))
    # A line for each entry, so that a diff shows which constants changed.
    FILE.write_text(
        json.dumps(made, indent=1).replace(",\n   ", ", ").replace("[\n   ", "[").replace("\n  ]", "]") + "\n"
    )


if __name__ == "__main__":
    main()
