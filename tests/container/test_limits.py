"""Whatever a request within the limits holds, it takes bounded memory and time, and leaves nothing behind.

The container's memory is a control group's, so the kernel ends a function that takes more, as on Lambda.
"""

import gzip
import json
from base64 import b64encode
from time import perf_counter

import pytest

from containers.emulator import ONE_VCPU_MB, FunctionContainer
from infra.memory import needed_memory_mb
from runtime.engine.manifest import read_manifest
from runtime.service.limits import Limits

PROBE = {"inputs": ["The request after it is right.", "Auch dieser Satz."]}
SECONDS = 60
MOST_MB = 1500
GROWS = "\ufdfa"
"""18 characters after normalization."""
WINDOWED = Limits().characters(512, True)
ALONE = Limits().characters(512, False)
TIE = "——————3———"
"""A run that the fast tokenizer does not decide, so that both tokenizers read the text."""

REQUESTS = {
    "what grows, cut off": ("/embed", {"inputs": GROWS * 2_000_000}),
    "what grows, after a special token, cut off": ("/embed", {"inputs": "<s>" + GROWS * 2_000_000}),
    "what grows, in windows": ("/embed", {"inputs": GROWS * (WINDOWED // 18), "long_texts": "window"}),
    "what grows, after a special token, in windows": ("/embed", {"inputs": "<s>" + GROWS * (WINDOWED // 19), "long_texts": "window"}),
    "what grows, too much of it for windows": ("/embed", {"inputs": "<s>" + GROWS * 2_000_000, "long_texts": "window"}),
    "what grows, in 16 texts": ("/embed", {"inputs": ["<s>" + GROWS * 127_990] * 16}),
    "what grows, in 250 texts": ("/embed", {"inputs": ["<s>" + GROWS * 7_000] * 250, "dimensions": 8}),
    "what grows, in 2,048 texts": ("/embed", {"inputs": ["<s>" + GROWS * 900] * 2048, "dimensions": 8}),
    "emoji in windows": ("/embed", {"inputs": "<s>" + "😀" * (WINDOWED - 3), "long_texts": "window"}),
    "unassigned characters in windows": ("/embed", {"inputs": "\U0010fffd " * (WINDOWED // 2), "long_texts": "window"}),
    "marks in windows": ("/embed", {"inputs": TIE * (WINDOWED // 10), "long_texts": "window"}),
    "both tokenizers": ("/embed", {"inputs": "😀" * (WINDOWED - 20) + TIE, "long_texts": "window"}),
    "combining marks": ("/embed", {"inputs": "a" + "\u0301" * (WINDOWED - 1), "long_texts": "window"}),
    "special tokens": ("/embed", {"inputs": "<s>" * (WINDOWED // 3), "long_texts": "window"}),
    "all tokens of a request": ("/embed", {"inputs": "word " * 110_000, "long_texts": "window"}),
    "megabytes of words": ("/embed", {"inputs": "word " * 1_100_000}),
    "2,048 short texts": ("/embed", {"inputs": [f"text {number}" for number in range(2048)], "dimensions": 8}),
    "2,048 texts, OpenAI": ("/v1/embeddings", {"input": ["<s>" + GROWS] * 2048, "encoding_format": "base64"}),
    "what grows, OpenAI": ("/v1/embeddings", {"input": "<s>" + GROWS * 2_000_000}),
    "millions of token ids with a prompt": ("/embed", {"inputs": [5] * 2_000_000, "prompt_name": "query"}),
    "millions of texts": ("/embed", {"inputs": ["a"] * 1_200_000}),
    "embed_all": ("/embed_all", {"inputs": "<s>" + GROWS * 2_000_000}),
    "similarity": ("/similarity", {"inputs": {"source_sentence": "<s>" + GROWS * 127_990, "sentences": ["<s>"] * 2048}}),
    "tokenize emoji": ("/tokenize", {"inputs": "😀" * ALONE}),
    "tokenize what grows": ("/tokenize", {"inputs": ["<s>" + GROWS * 7_000] * 250}),
    "tokenize 2,048 texts": ("/tokenize", {"inputs": ["a b c d e f g " * 4] * 2048}),
    "decode": ("/decode", {"ids": [100_000] * 131_072}),
    "decode 2,048 lists": ("/decode", {"ids": [[100_000] * 64] * 2048}),
    "decode millions": ("/decode", {"ids": [5] * 2_000_000}),
}  # fmt: skip


def event(path: str, body: dict) -> dict:
    """A Function URL's event with a compressed body: some kilobytes suffice for megabytes of text."""
    return {
        "rawPath": path,
        "headers": {"content-type": "application/json", "content-encoding": "gzip"},
        "requestContext": {"http": {"method": "POST"}},
        "body": b64encode(gzip.compress(json.dumps(body, ensure_ascii=False).encode())).decode(),
        "isBase64Encoded": True,
    }


def peak_mb(container: FunctionContainer) -> int:
    """Peak memory of the largest process in the container, in MiB."""
    status = container.execute("sh", "-c", "cat /proc/[0-9]*/status")
    return max(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) // 1024


@pytest.fixture(scope="module", params=["one vCPU", "least memory"])
def limited(request, image, artifact):
    """An environment with 1,769 MiB, or with the least that synthesis accepts; and its answer to the first request."""
    memory_mb = ONE_VCPU_MB if request.param == "one vCPU" else needed_memory_mb(read_manifest(artifact))
    with FunctionContainer(image, memory_mb, timeout=SECONDS) as container:
        yield container, container.invoke(PROBE).json()


@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_takes_too_much(limited, name):
    container, before = limited
    start = perf_counter()
    answer = container.invoke(event(*REQUESTS[name])).json()
    assert perf_counter() - start < SECONDS
    assert answer.get("statusCode") in (200, 400, 413, 422), answer
    if answer["statusCode"] != 200:
        assert json.loads(answer["body"])["error"]
    assert container.invoke(PROBE).json() == before
    assert peak_mb(container) < MOST_MB
