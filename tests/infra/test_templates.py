"""Snapshots of the templates, so that a review shows every change."""

import json
import re

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from configuration.groups import KEYS, ModelSettings

from .cases import CASES
from .conftest import Template

ASSET = re.compile(r"\b[0-9a-f]{64}(?=\")")
VERSION = re.compile(r"((?:CurrentVersion|GoldenCheckResult)[0-9A-F]{8})[0-9a-f]{32}")
"""Logical ids of the function's version and its check: they end with a hash of the function, image included."""


def stable(template: Template) -> Template:
    """``template`` without the hashes that change with every change of the runtime."""
    text = VERSION.sub(r"\1<hash>", ASSET.sub("<asset>", json.dumps(template)))
    return json.loads(text)


def changes(template: Template, default: Template) -> Template:
    """The parts of ``template`` that differ from ``default``; ``None`` for a part that it lacks."""
    return {
        "Images": template["Images"] if template["Images"] != default["Images"] else "as by default",
    } | {
        section: {
            name: template[section].get(name)
            for name in template[section] | default[section]
            if template[section].get(name) != default[section].get(name)
        }
        for section in ("Resources", "Outputs")
    }


def test_every_option_has_a_case() -> None:
    # The model shapes the artifact and not the template. The stack of each case has its own name.
    options = KEYS - set(ModelSettings.model_fields) - {"stack_name"}

    assert options == {name for case in CASES.values() for name in case}


def test_default_template(templates: dict[str, Template], snapshot: SnapshotAssertion) -> None:
    assert stable(templates["default"]) == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("case", [case for case in CASES if case != "default"])
def test_what_an_option_changes(case: str, templates: dict[str, Template], snapshot: SnapshotAssertion) -> None:
    template, default = stable(templates[case]), stable(templates["default"])

    assert template != default, "the option has no effect"
    assert changes(template, default) == snapshot(extension_class=JSONSnapshotExtension)
