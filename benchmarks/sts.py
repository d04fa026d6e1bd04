"""Measures fidelity on the STS benchmark: ``python -m benchmarks.sts FOLDER`` prints the table of docs/fidelity.md.

``FOLDER`` holds a CSV file a language (sentence, sentence, score from 0 to 5), such as the dev splits of
https://github.com/PhilipMay/stsb-multi-mt, which are not part of this project. Each precision of the embedded model is compared with
``exact``, whose vectors equal those of the fp32 model but for rounding (its manifest has the cosines).
"""

import argparse
import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact as artifacts
from runtime.engine.engine import Engine

from . import RESULTS

PROMPT = "query"
PRECISIONS = ("exact", "balanced", "fast")

Pairs = list[tuple[str, str, float]]


def read_pairs(folder: Path, limit: int | None) -> dict[str, Pairs]:
    """Read the pairs of each language, by the name of its file; at most ``limit`` of each.

    Raises:
        FileNotFoundError: the folder has no CSV file.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"{folder}: no .csv file in this folder")
    pairs = {}
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = [(one, other, float(score)) for one, other, score in csv.reader(lines)]
        pairs[file.stem] = rows[:limit]
    return pairs


def embed(precision: str, texts: list[str]) -> np.ndarray:
    """Embed ``texts`` with the prompt: float32 [texts, dimensions], of unit length."""
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
    """Return by language Spearman's correlation of cosines and scores, times 100. ``rows`` has the row in ``vectors`` of each text."""
    return {
        language: 100
        * spearmanr([score for *_, score in some], [vectors[rows[a]] @ vectors[rows[b]] for a, b, _ in some]).statistic
        for language, some in pairs.items()
    }


def compare(pairs: dict[str, Pairs]) -> list[dict]:
    """Measure each precision but ``exact`` against ``exact``: drops of Spearman's correlation times 100 over the languages, and
    cosines of the vectors over all texts."""
    texts = sorted({text for some in pairs.values() for pair in some for text in pair[:2]})
    rows = {text: row for row, text in enumerate(texts)}
    reference = embed(PRECISIONS[0], texts)
    before = correlations(pairs, rows, reference)
    results = []
    for precision in PRECISIONS[1:]:
        vectors = embed(precision, texts)
        after = correlations(pairs, rows, vectors)
        drops = {language: before[language] - after[language] for language in pairs}
        worst = max(drops, key=drops.__getitem__)
        cosines = (reference * vectors).sum(axis=1)
        results.append(
            {
                "precision": precision,
                "mean_drop": round(float(np.mean(list(drops.values()))), 3),
                "worst_drop": round(float(drops[worst]), 3),
                "worst_language": worst,
                "cosine_mean": round(float(cosines.mean()), 5),
                "cosine_p1": round(float(np.percentile(cosines, 1)), 5),
                "cosine_min": round(float(cosines.min()), 5),
            }
        )
    return results


def table(results: list[dict]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| `precision` | mean drop | worst language | cosine, mean | its 1st percentile | its least |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in results:
        cosines = " | ".join(f"{row[name]:.5f}" for name in ("cosine_mean", "cosine_p1", "cosine_min"))
        drops = f"{row['mean_drop']:.3f} | {row['worst_drop']:.3f} ({row['worst_language']})"
        lines.append(f"| `{row['precision']}` | {drops} | {cosines} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table; write ``sts.json``, too, unless ``--limit`` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sts", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of CSV files")
    parser.add_argument("--limit", type=int, help="pairs of each language (default: all); writes no file")
    options = parser.parse_args()
    pairs = read_pairs(options.folder, options.limit)
    results = compare(pairs)
    print(table(results))
    if options.limit is None:
        measured = {"languages": sorted(pairs), "precisions": results}
        (RESULTS / "sts.json").write_text(json.dumps(measured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
