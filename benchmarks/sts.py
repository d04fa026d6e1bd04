"""Fidelity on the STS benchmark: ``python -m benchmarks.sts FOLDER`` prints the table of docs/fidelity.md.

``FOLDER`` holds a CSV file a language (sentence, sentence, score from 0 to 5), such as the dev splits of
https://github.com/PhilipMay/stsb-multi-mt; they are no part of this project. Each precision of the embedded model is compared with
``exact``, whose vectors are those of the fp32 model (its manifest says how near).
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine

PROMPT = "query"
PRECISIONS = ("exact", "balanced", "fast")

Pairs = list[tuple[str, str, float]]


def read_pairs(folder: Path, limit: int | None) -> dict[str, Pairs]:
    """The pairs of each language, by the name of its file; at most ``limit`` of each.

    Raises:
        FileNotFoundError: the folder has no CSV file.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"{folder}: has no .csv file")
    pairs = {}
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = [(one, other, float(score)) for one, other, score in csv.reader(lines)]
        pairs[file.stem] = rows[:limit]
    return pairs


def embed(precision: str, texts: list[str]) -> np.ndarray:
    """Vectors of ``texts`` with the prompt, of unit length: float32 [texts, dimensions]."""
    engine = Engine.load(artifacts.build(ModelSettings(model=EMBEDDED, precision=precision)), threads=1)
    prompt, room = engine.manifest.prompts[PROMPT], engine.manifest.max_tokens - engine.num_special_tokens
    vectors, said = [], time.monotonic()
    for index, text in enumerate(texts):
        vectors.append(engine.embed(engine.with_special_tokens(engine.tokenize(prompt + text)[:room])))
        if time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"· {precision}: {index + 1} of {len(texts)} texts", file=sys.stderr)
    return np.array(vectors)


def correlations(pairs: dict[str, Pairs], rows: dict[str, int], vectors: np.ndarray) -> dict[str, float]:
    """By language, Spearman's correlation of cosines and scores, times 100."""
    return {
        language: 100
        * spearmanr([score for *_, score in some], [vectors[rows[a]] @ vectors[rows[b]] for a, b, _ in some]).statistic
        for language, some in pairs.items()
    }


def main() -> int:
    """Print a row a precision, in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sts", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of CSV files")
    parser.add_argument("--limit", type=int, help="pairs of each language (all)")
    options = parser.parse_args()
    pairs = read_pairs(options.folder, options.limit)
    texts = sorted({text for some in pairs.values() for pair in some for text in pair[:2]})
    rows = {text: row for row, text in enumerate(texts)}
    reference = embed(PRECISIONS[0], texts)
    before = correlations(pairs, rows, reference)
    print("| `precision` | mean drop | worst language | cosine, mean | its 1st percentile | its least |")
    print("|---|---:|---:|---:|---:|---:|")
    for precision in PRECISIONS[1:]:
        vectors = embed(precision, texts)
        after = correlations(pairs, rows, vectors)
        drops = {language: before[language] - after[language] for language in pairs}
        worst = max(drops, key=drops.__getitem__)
        cosines = (reference * vectors).sum(axis=1)
        print(
            f"| `{precision}` | {np.mean(list(drops.values())):.3f} | {drops[worst]:.3f} ({worst}) | {cosines.mean():.5f} "
            f"| {np.percentile(cosines, 1):.5f} | {cosines.min():.5f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
