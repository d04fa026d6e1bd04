"""The check of the memory size against the peaks that the manifest records."""

from pathlib import Path

import pytest

from configuration.errors import ConfigurationError
from infra.memory import check_memory, needed_memory_mb
from runtime.engine.manifest import ArtifactError, Manifest, Memory, read_manifest

from .conftest import write_artifact

MODEL = "intfloat/multilingual-e5-small"


def manifest(folder: Path, longest_text_mb: int, worst_text_mb: int) -> Manifest:
    """The manifest of an artifact with these peaks."""
    memory = Memory(longest_text_mb=longest_text_mb, worst_text_mb=worst_text_mb, another_text_mb=50)
    return read_manifest(write_artifact(folder / "artifact", memory))


def test_a_function_needs_the_larger_peak_and_a_tenth(tmp_path: Path) -> None:
    assert needed_memory_mb(manifest(tmp_path / "a", 193, 548)) == 603  # 602.8
    assert needed_memory_mb(manifest(tmp_path / "b", 1000, 548)) == 1100


@pytest.mark.parametrize(
    ("peaks", "memory_mb", "told"),
    [
        (
            (193, 548),
            602,
            f"memory_mb: 602 is too little for {MODEL}: tokenizing the text that takes most memory needs 603 MiB. "
            "Allowed: 603 to 10240; or set a smaller max_tokens, or serve a model with a smaller tokenizer",
        ),
        (
            (7000, 548),
            1769,
            f"memory_mb: 1769 is too little for {MODEL}: embedding a text of 512 tokens needs 7700 MiB. "
            "Allowed: 7700 to 10240; or set a smaller max_tokens",
        ),
        (
            (90_386, 548),
            10_240,
            f"memory_mb: 10240 is too little for {MODEL}: embedding a text of 512 tokens needs 99425 MiB, and Lambda has "
            "at most 10240. No memory size suffices: set a smaller max_tokens",
        ),
    ],
)
def test_the_message_says_what_decides_and_what_is_allowed(
    peaks: tuple[int, int], memory_mb: int, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as error:
        check_memory(manifest(tmp_path, *peaks), memory_mb)

    assert str(error.value) == told


def test_just_enough_is_enough(tmp_path: Path) -> None:
    check_memory(manifest(tmp_path, 193, 548), 603)


def test_an_artifact_without_a_measurement(tmp_path: Path) -> None:
    unmeasured = read_manifest(write_artifact(tmp_path / "artifact", None))

    with pytest.raises(
        ArtifactError, match=r"artifact artifact: its manifest does not say .* build the artifact again"
    ):
        check_memory(unmeasured, 10_240)
