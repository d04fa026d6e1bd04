"""A first look: embeds texts in several languages over HTTP and shows how similar they are.

python -m examples.demo --model-dir build/model/latest    serves the artifact during the demo
python -m examples.demo --url http://localhost:9000       calls a running endpoint
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

PASSAGES = {
    "en": "Sourdough bread needs flour, water, salt and a day of patience.",
    "de": "Der Nachtzug nach Wien fährt um 21 Uhr von Gleis 7 ab.",
    "fr": "Arrosez les tomates le matin, au pied, sans mouiller les feuilles.",
    "ja": "この薬は食後に、一日二回飲んでください。",
    "ar": "يرتفع سعر الذهب عندما تنخفض قيمة الدولار.",
}
QUERIES = {
    "es": "¿De qué andén sale el tren nocturno?",
    "it": "Come si fa il pane con il lievito madre?",
    "ru": "Когда лучше поливать помидоры?",
    "en": "How often should I take this medicine?",
    "zh": "黄金价格为什么上涨?",
}
ANSWERS = {"es": "de", "it": "en", "ru": "fr", "en": "ja", "zh": "ar"}
"""The language of the passage that answers each query."""

NEXT = """
Next: `make serve` keeps the endpoint running. In another terminal, this embeds a file, here the lines of README.md:

  .venv/bin/embeddings embed README.md --format txt --prompt-name passage -o build/vectors.parquet --url http://localhost:9000
"""


def main() -> int:
    """Run the demo. Returns exit status 0 if every query is nearest to the passage that answers it, else 1."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__.split("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="base URL of an endpoint that needs no signature")
    where.add_argument("--model-dir", help="folder of an artifact to serve during the demo")
    arguments = parser.parse_args()
    if arguments.url:
        return show(arguments.url)
    with serving(arguments.model_dir) as url:
        status = show(url)
    print(NEXT)
    return status


def show(url: str) -> int:
    """Embed the texts and print the table. Returns the exit status of :func:`main`."""
    info = ask(url, "/info")
    print(f"\n{info['model_id']} at {url}, at most {info['max_input_length']} tokens a text\n")
    start = time.perf_counter()
    passages = ask(url, "/embed", {"inputs": list(PASSAGES.values()), "prompt_name": "passage"})
    queries = ask(url, "/embed", {"inputs": list(QUERIES.values()), "prompt_name": "query"})
    elapsed = time.perf_counter() - start
    print(
        f"POST /embed gave {len(passages + queries)} vectors of {len(queries[0])} numbers in {elapsed * 1000:.0f} ms:"
    )
    print(f"  [{', '.join(f'{number:.4f}' for number in queries[0][:6])}, …]\n")
    print("Cosine similarity of each query (row) to each passage (column); * marks the nearest:\n")
    print("         " + "".join(f"{f'({number}) {language}':>10}" for number, language in enumerate(PASSAGES, 1)))
    right = 0
    for (language, text), query in zip(QUERIES.items(), queries, strict=True):
        scores = [sum(a * b for a, b in zip(query, passage, strict=True)) for passage in passages]
        cells = "".join(f"{score:9.3f}{'*' if score == max(scores) else ' '}" for score in scores)
        print(f"  {language:>4}   {cells}   {text}")
        right += ANSWERS[language] == list(PASSAGES)[scores.index(max(scores))]
    print(
        "\n"
        + "\n".join(f"  ({number}) {language}: {text}" for number, (language, text) in enumerate(PASSAGES.items(), 1))
    )
    print(
        f"\n{right} of {len(QUERIES)} queries are nearest to the passage that answers them, each in another language."
    )
    return 0 if right == len(QUERIES) else 1


def ask(url: str, path: str, body: object = None) -> object:
    """Send a request, GET without a body and POST with one, and return the decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url.rstrip("/") + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@contextmanager
def serving(model_dir: str) -> Iterator[str]:
    """Serve the artifact in ``model_dir`` on a free port of this machine; yields the URL."""
    command = [sys.executable, "-m", "runtime.server", "--port", "0", "--model-dir", model_dir]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        line = server.stderr.readline()
        if " on http://" not in line:
            raise SystemExit(line + server.stderr.read())
        yield line.split(" on ")[1].strip()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
