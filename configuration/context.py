"""Reads the configuration: the context in ``cdk.json``, overridden by a stage, and by ``-c`` on the command line."""

import difflib
import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from . import PROJECT
from .errors import ConfigurationError
from .groups import GROUPS, KEYS, Configuration
from .options import given

FILE = PROJECT / "cdk.json"


def read_configuration(overrides: Mapping[str, Any] | None = None) -> Configuration:
    """Read the configuration of this run.

    A key takes its value from the first of these that has one: ``overrides``, the command line of the CDK CLI, the chosen
    stage, ``cdk.json``, the default of the option. ``None`` and ``""`` do not count as a value anywhere.

    Args:
        overrides: Values by flat key, such as those of ``-c KEY=VALUE``.

    Raises:
        ConfigurationError: ``cdk.json`` cannot be read, a key is unknown, a value is wrong, or the stage is not defined. The
            message names all wrong keys.
    """
    return parse_configuration(_read_context(overrides or {}))


def parse_configuration(values: Mapping[str, Any]) -> Configuration:
    """Validate ``values``, which are by flat key.

    Raises:
        ConfigurationError: a key is unknown or a value is wrong. The message names each of them, with what is allowed.
    """
    mistakes = [_unknown(key) for key in values if key not in KEYS]
    groups = {}
    for name, group in GROUPS.items():
        try:
            groups[name] = group.model_validate({key: values[key] for key in group.model_fields if key in values})
        except ValidationError as error:
            mistakes += [_explain(detail) for detail in error.errors()]
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return Configuration(**groups)


def _read_context(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the layers of the configuration into one value a key."""
    try:
        file = json.loads(FILE.read_text())["context"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{FILE}: cannot be read as a CDK configuration with a context ({error!r})") from error
    # The CDK CLI passes the file's context and that of its command line merged. A value that differs from the file's comes
    # from the command line.
    merged = json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    command_line = {key: value for key, value in merged.items() if file.get(key) != value} | dict(overrides)
    file, command_line = _own(file), _own(command_line)
    values = file | command_line
    stages, stage = values.pop("stages", {}), values.get("stage")
    if not isinstance(stages, dict) or not all(isinstance(values, dict) for values in stages.values()):
        raise ConfigurationError(f"stages: {stages!r} is not allowed: it has to be overrides by the name of a stage")
    if stage is None:
        return values
    if stage not in stages:
        raise ConfigurationError(f"stage: {stage!r} is not defined; cdk.json has {', '.join(stages) or 'none'}")
    if nested := {"stage", "stages"} & stages[stage].keys():
        raise ConfigurationError(f"stages.{stage}: {', '.join(sorted(nested))} cannot be set inside of a stage")
    return values | _own(stages[stage]) | {key: value for key, value in command_line.items() if key != "stages"}


def _own(context: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are set, without those of the CDK itself: ``cli-telemetry``, and keys with ``/`` or ``:`` in them."""
    return {
        key: value
        for key, value in given(context).items()
        if "/" not in key and ":" not in key and key != "cli-telemetry"
    }


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(to_snake(key), KEYS, n=1)
    meant = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(KEYS))}"
    return f"{key}: is not a configuration key; {meant}"


def _explain(detail: Mapping[str, Any]) -> str:
    """Turn an error of pydantic into a sentence."""
    key = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if not key:  # a rule about several keys, whose message names them
        return message
    return f"{key}: {detail['input']!r} is not allowed: {message[0].lower()}{message[1:]}"
