"""Clients of other makers where they are special: many requests at once, long lists, foreign token ids, and errors."""

import asyncio
import socket
from urllib.parse import urlsplit

import openai
import pytest

from containers.tools import ToolError
from tests.clients.conftest import KEY
from tests.clients.environments import run_node, run_python
from tests.runtime.conftest import MODEL
from tests.snippets import CLIENTS, snippets

pytestmark = pytest.mark.slow

AUTHENTICATION = r"AuthenticationError: .*the API key is wrong"
WRONG_KEY = {
    "Haystack": [AUTHENTICATION],
    # The second client does not look at the status, and takes the error for a list of vectors.
    "LlamaIndex": [AUTHENTICATION, r"ValidationError"],
    "Chroma": [AUTHENTICATION],
    "LiteLLM": [AUTHENTICATION],
    "AI SDK": [r"AI_APICallError\]: the API key is wrong"],
    "langchain-huggingface": [r"HfHubHTTPError: .*401 Unauthorized"],
}
LONG = "word " * 600


def codes(section: str) -> list[str]:
    """The Python or JavaScript snippets of a section."""
    found = snippets("docs/api.md", "python") + snippets("docs/api.md", "js")
    return [snippet.code for snippet in found if snippet.section == section]


@pytest.mark.parametrize("section", sorted(CLIENTS))
def test_a_wrong_key(section, python, node, url):
    run_snippet = run_node if section == "AI SDK" else run_python
    for code, message in zip(codes(section), WRONG_KEY[section], strict=True):
        with pytest.raises(ToolError, match=message):
            run_snippet(code, URL=url, KEY="wrong")


class TestErrorsThatClientsHide:
    """The cases that docs/api.md warns of."""

    def test_haystack_leaves_documents_without_vectors(self, python, url):
        (code,) = codes("Haystack")
        code = code.replace("raise_on_failure=True, ", "").replace("The ferry leaves at seven.", "")
        assert run_python(f"{code}\nprint(sum(vector is None for vector in vectors))", URL=url, KEY=KEY) == 2

    def test_llama_index_cuts_long_texts_off(self, python, url):
        code = codes("LlamaIndex")[1].replace("The ferry leaves at seven.", LONG)
        assert run_python(f"{code}\nprint(len(vectors))", URL=url, KEY=KEY) == 2
        code = code.replace("base_url=URL,", "base_url=URL, truncate_text=False,")
        with pytest.raises(ToolError, match="ValidationError"):
            run_python(code, URL=url, KEY=KEY)

    def test_chroma_takes_an_error_for_vectors(self, python, url):
        code = """
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer

function = HuggingFaceEmbeddingServer(url=f"{URL}embed", api_key=KEY)
print(len(function(TEXTS)))
"""
        assert run_python(code, URL=url, KEY=KEY, TEXTS=["First text", "Second text"]) == 2
        assert run_python(code, URL=url, KEY=KEY, TEXTS=[LONG]) == 1
        with pytest.raises(ToolError, match="ValueError: could not convert string to float"):
            run_python(code, URL=url, KEY=KEY, TEXTS=[""])


def test_openai_with_64_requests_at_once(url):
    async def embed() -> list[openai.types.CreateEmbeddingResponse]:
        async with openai.AsyncOpenAI(base_url=f"{url}v1", api_key=KEY, max_retries=0) as client:
            requests = [client.embeddings.create(model=MODEL, input=f"Text {number}") for number in range(64)]
            return await asyncio.gather(*requests)

    # Several times, since it depends on who is quicker whether connections are lost.
    for _ in range(10):
        assert len(asyncio.run(embed())) == 64


def test_ai_sdk_with_2048_values(node, url, http):
    """``embedMany`` sends no more at a time, and its client accepts gzip."""
    texts = [f"Text {number}" for number in range(2048)]
    code = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany } from "ai";

const provider = createOpenAICompatible({ name: "embeddings", baseURL: `${URL}v1`, apiKey: KEY });
const { embeddings } = await embedMany({ model: provider.embeddingModel(MODEL), values: TEXTS, maxRetries: 0 });
console.log(JSON.stringify([embeddings.length, embeddings[2047]]));
"""
    number, last = run_node(code, URL=url, KEY=KEY, MODEL=MODEL, TEXTS=texts)
    assert number == 2048
    assert last == pytest.approx(http.post("embed", json={"inputs": texts[2047]}).json()[0], abs=1e-6)


def test_a_chunked_body(url):
    """As Java's RestClient sends it."""
    address = urlsplit(url)
    head = (
        f"POST /embed HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Type: application/json\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode())
        for chunk in ('{"inputs": ', '"First text"}', ""):
            connection.sendall(f"{len(chunk):x}\r\n{chunk}\r\n".encode())
        with connection.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"


def test_langchain_with_the_token_ids_of_openai(python, url):
    """The default of ``OpenAIEmbeddings``, which sends token ids of cl100k."""
    code = """
from langchain_openai import OpenAIEmbeddings

embeddings = OpenAIEmbeddings(base_url=f"{URL}v1", api_key=KEY, model=MODEL)
embeddings.embed_documents(["The ferry leaves at seven."])
print("null")
"""
    with pytest.raises(ToolError, match=r"BadRequestError: .*400.*check_embedding_ctx_length=False"):
        run_python(code, URL=url, KEY=KEY, MODEL=MODEL)
