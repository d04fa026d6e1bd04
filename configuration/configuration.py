"""The configuration of a deployment: ``cdk.json``'s context as one typed, immutable object.

The keys are flat (``-c memory_mb=3008`` overrides any) and are the fields of the groups in ``configuration.options`` and of
``configuration.settings.ModelSettings``.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from .options import Access, Compute, Deployment, Image, Logs, Monitoring, Network, Serving, Traffic, WarmUp
from .settings import ModelSettings, read_context, validate

Group = TypeVar("Group", bound=BaseModel)


class Configuration(
    ModelSettings, Compute, Image, Serving, Access, Logs, Network, Traffic, WarmUp, Monitoring, Deployment
):
    """All keys. One flat model, so that each rule is checked and each misspelt key is compared with all of them."""

    def group(self, kind: type[Group]) -> Group:
        """The part of the configuration that is a ``kind``."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})


def read_configuration(context: Mapping[str, Any] | None = None) -> Configuration:
    """The configuration in ``context``; by default that of this run of the CDK, its stage's overrides applied.

    Raises:
        ConfigurationError: a value is wrong or a key unknown; the message names each, and what is allowed.
    """
    return validate(Configuration, read_context() if context is None else context)
