"""Writes docs/configuration.md from the options in the code: ``python -m configuration.reference`` (``make docs``)."""

import json
import re
import sys
from typing import get_args

from pydantic.fields import FieldInfo

from . import PROJECT
from .groups import GROUPS
from .options import Options

PAGE = PROJECT / "docs" / "configuration.md"
INTRODUCTION = """# Configuration

<!-- Written by `make docs` from configuration/groups.py. -->

`cdk.json`'s `context` holds the configuration. Change it there, or override any key for one run on the command line:
`cdk deploy -c memory_mb=3008 -c auth=api_key`. A wrong value or a misspelt key stops the run before anything is built, with
a sentence that says what is allowed.

`stages` holds overrides by name. `-c stage=prod` applies those of `prod` and deploys a separate stack,
`ServerlessEmbeddings-prod`.

A key takes its value from the first of these that has one: the command line, the stage, `cdk.json`, the default below. `null`,
an empty value (`""`, `-c key=`) and a key that is left out mean the same everywhere: no value here, the next one holds.
One exception: a value on the command line that equals the one in `cdk.json` outside of `stages` does not override the stage,
since the CDK does not show where a value comes from.

In another CDK app, the constructs `EmbeddingService` and `ModelFunction` take the same options, in the groups below except for
Model and Deployment: `options=ServiceOptions(compute=Compute(memory_mb=3008))`, from `configuration.groups`.
"""


def page() -> str:
    """The reference as Markdown: a section for each group, with one row for each key."""
    # The model comes first: it is the first choice that a reader makes.
    names = sorted(GROUPS, key=lambda name: name != "model")
    return "\n".join([INTRODUCTION, *(_section(name, GROUPS[name]) for name in names)])


def _section(name: str, group: type[Options]) -> str:
    head = [f"## {name.capitalize()}", "", _one_line(group.__doc__), "", "| key | default | meaning |", "|---|---|---|"]
    rows = [f"| `{key}` | {_default(field)} | {_description(field)} |" for key, field in group.model_fields.items()]
    return "\n".join([*head, *rows, ""])


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default in (None, (), {}):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _description(field: FieldInfo) -> str:
    text = _one_line(field.description)
    choices = [f"`{choice}`" for choice in _choices(field.annotation)]
    return text if all(choice in text for choice in choices) else f"{text} One of {', '.join(choices)}."


def _choices(annotation: object) -> list[str]:
    """The words of a ``Literal``, which may be a member of a union."""
    arguments = get_args(annotation)
    return [
        word for argument in arguments for word in ([argument] if isinstance(argument, str) else _choices(argument))
    ]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("``", "`").replace("|", "\\|").strip()


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
