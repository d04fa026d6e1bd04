"""The model's settings: the revision in the model's name."""

import pytest

from configuration.groups import ModelSettings


@pytest.mark.parametrize(
    ("model", "name", "revision"),
    [
        ("org/name", "org/name", None),
        ("org/name@abc", "org/name", "abc"),
        ("org/name@refs/pr/1", "org/name", "refs/pr/1"),
        ("embedded", "embedded", None),
        ("./folder@abc", "./folder@abc", None),
        ("~/folder@", "~/folder@", None),
        ("/models/a@b", "/models/a@b", None),
    ],
)
def test_a_revision_may_follow_a_hub_id(model: str, name: str, revision: str | None) -> None:
    settings = ModelSettings(model=model)

    assert (settings.name, settings.revision) == (name, revision)
