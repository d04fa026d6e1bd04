"""The snippets of the documents, by the section they stand in."""

import re
from typing import NamedTuple

from containers.tools import PROJECT

CLIENTS = {"Haystack", "LlamaIndex", "Chroma", "LiteLLM", "AI SDK", "langchain-huggingface"}
"""Sections of docs/api.md whose snippets need packages that are too heavy for the project's environment."""
TASKS = {"Rerankers", "Classifiers"}
"""Sections that need these packages and another model."""


class Snippet(NamedTuple):
    """A block of code, and the heading above it."""

    section: str
    code: str


def snippets(document: str, language: str) -> list[Snippet]:
    """The blocks of code in this language, in the order of the document, a path from the project's root."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    found, section = [], ""
    for match in re.finditer(r"^(?:#+ ([^\n]*)|```(\w*)\n(.*?)^```)$", text, flags=re.DOTALL | re.MULTILINE):
        heading, tag, code = match.groups()
        if heading is not None:
            section = heading
        elif tag == language:
            found.append(Snippet(section, code))
    return found
