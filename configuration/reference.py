"""Writes docs/configuration.md from the options themselves: ``python -m configuration.reference`` (``make docs``)."""

import json
import re
import sys
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .options import Access, Compute, Deployment, Image, Logs, Monitoring, Network, Serving, Traffic, WarmUp
from .settings import PROJECT, ModelSettings

GROUPS: dict[str, type[BaseModel]] = {
    "Model": ModelSettings,
    "Size": Compute,
    "Image": Image,
    "API": Serving,
    "Access": Access,
    "Logs": Logs,
    "Network": Network,
    "Change": Traffic,
    "Warm-up": WarmUp,
    "Monitoring": Monitoring,
    "Stack": Deployment,
}
PAGE = PROJECT / "docs" / "configuration.md"
INTRODUCTION = """# Configuration

<!-- Written by `make docs` from configuration/settings.py and configuration/options.py. -->

`cdk.json`'s `context` holds the configuration. Change it there, or for one run on the command line, where any key can be
overridden: `cdk deploy -c memory_mb=3008 -c auth=api_key`. A key that is left out, `null` or empty is not set.
A wrong value or a misspelt key stops with a sentence that says what is allowed, before anything is built.

`stages` holds overrides by name, and `-c stage=prod` applies those of `prod` and deploys a stack of its own,
`ServerlessEmbeddings-prod`. What is said on the command line wins over a stage, unless it is word for word what `cdk.json` says outside
of `stages`: the CDK does not tell the two apart.

The construct `EmbeddingService` takes the same options, in the groups below: `compute=Compute(memory_mb=3008)`.
"""


def page() -> str:
    """The reference as Markdown: a table a group, a row a key."""
    committed = json.loads((PROJECT / "cdk.json").read_text())["context"]
    parts = [INTRODUCTION]
    for title, group in GROUPS.items():
        parts += [f"## {title} (`{group.__name__}`)", "", "| key | default | what it is |", "|---|---|---|"]
        for name, field in group.model_fields.items():
            default = committed.get(name) if committed.get(name) is not None else _default(field)
            parts.append(f"| `{name}` | {_cell(default)} | {_text(field)} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _default(field: FieldInfo) -> object:
    return None if field.default is PydanticUndefined else field.default


def _cell(value: object) -> str:
    if value is None or value in ((), {}, []):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _text(field: FieldInfo) -> str:
    text = re.sub(r"\s+", " ", field.description or "").replace("``", "`").replace("|", "\\|")
    choices = [value for value in get_args(field.annotation) if isinstance(value, str)]
    missing = [choice for choice in choices if f"`{choice}`" not in text]
    return f"{text} One of {', '.join(f'`{choice}`' for choice in choices)}." if missing else text


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
