"""The shapes of a model's weights, from the headers of their files, and its size."""

from math import prod
from pathlib import Path

from configuration.groups import LARGEST_MEMORY_MB, ModelSettings

from ..errors import CheckpointError, UnsupportedModelError
from .checkpoint import PUBLISHED_FILE

Shape = tuple[int, ...]
NOT_READ = ("onnx", "openvino")
"""Folders in which repositories publish other libraries' copies of the weights."""


def check_size(folder: Path, settings: ModelSettings) -> Path:
    """``folder``, whose model fits into a function by the size of its weights alone.

    Raises:
        UnsupportedModelError: it does not.
        CheckpointError: a file of weights is damaged.
    """
    parameters = count_parameters(folder)
    size_mb = parameters * (4 if settings.precision == "exact" else 1) // 2**20
    if size_mb > LARGEST_MEMORY_MB:
        raise UnsupportedModelError(
            f"{folder}: is too large: {parameters / 1e9:.1f} billion parameters take {size_mb:,} MB at precision {settings.precision!r}, "
            f"and a Lambda function has at most {LARGEST_MEMORY_MB:,} MB of memory"
        )
    return folder


def count_parameters(folder: Path) -> int:
    """How many weights the checkpoint in ``folder`` has, those of layers behind the transformer included.

    Of files whose header does not say so (pickles, published ONNX files) as if all were fp32.

    Raises:
        CheckpointError: a file of weights is damaged.
    """
    folders = [folder, *(path for path in folder.iterdir() if path.is_dir() and path.name not in NOT_READ)]
    count = sum(_count(each) for each in folders)
    return count or sum(path.stat().st_size for path in folder.glob(f"{PUBLISHED_FILE}*")) // 4


def safetensors_shapes(folder: Path) -> dict[str, Shape]:
    """The shapes of the tensors in the safetensors files of ``folder``, by name.

    Raises:
        CheckpointError: a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, Shape] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: is damaged ({error})") from error
    return shapes


def _count(folder: Path) -> int:
    return (
        sum(map(prod, safetensors_shapes(folder).values()))
        or sum(path.stat().st_size for path in folder.glob("pytorch_model*.bin")) // 4
    )
