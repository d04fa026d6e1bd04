"""What the image's build takes out of numpy."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.image import slim_numpy

CODE = "import numpy, numpy.linalg; print(numpy.__file__, numpy.linalg.norm([3.0, 4.0]), repr(numpy.ndarray.__doc__))"


@pytest.fixture
def packages(tmp_path) -> Path:
    for name in ("numpy", "numpy.libs"):  # some systems' wheels need no other libraries
        folder = Path(np.__file__).parents[1] / name
        if folder.exists():
            shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("tests"))
    return tmp_path


def test_numpy_computes_without_it(packages):
    slim_numpy.main(packages)
    shown = subprocess.run(
        [sys.executable, "-c", CODE], env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == [str(packages / "numpy" / "__init__.py"), "5.0", "None"]


@pytest.mark.parametrize("part", ["_core/_add_newdocs.py", "polynomial"])
def test_another_numpy_is_refused(packages, part):
    path = packages / "numpy" / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=f"numpy has no {part}"):
        slim_numpy.main(packages)
