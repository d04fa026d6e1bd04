"""Embeds texts in a process that needs only the runtime's packages, so that it runs on an emulated CPU.

    python -m tests.support.embed ARTIFACT THREADS

reads a JSON list of texts from standard input and writes float32 [texts, dimensions] to standard output, in numpy's format.
Texts are truncated to the model's limit.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np

from runtime.engine.engine import Engine


def embed_texts(engine: Engine, texts: list[str]) -> np.ndarray:
    """Embed one text after the other: float32 [texts, dimensions], normalized."""
    room = engine.manifest.max_tokens - engine.num_special_tokens
    ids = [engine.with_special_tokens(engine.tokenize(text)[:room]) for text in texts]
    return np.stack([engine.embed(each) for each in ids])


if __name__ == "__main__":
    engine = Engine.load(Path(sys.argv[1]), threads=int(sys.argv[2]))
    output = io.BytesIO()
    np.save(output, embed_texts(engine, json.load(sys.stdin)))
    sys.stdout.buffer.write(output.getvalue())
