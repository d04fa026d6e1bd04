"""Takes out of numpy what no request uses, for the build of the image:

    python slim_numpy.py FOLDER

``FOLDER`` has the package. Some parts are removed, since they lie between those that a start reads. Two modules put the documentation of
numpy's C functions in place when numpy is imported, and one has types for type checkers; together they take a fifth of the import's time,
so they are replaced.
"""

import shutil
import sys
from pathlib import Path

REMOVED = (
    "f2py",
    "fft",
    "polynomial",
    "random",
    "testing",
    "typing",
    "_core/include",
    "_core/lib",
    "_core/_simd.*",
    "_core/_*_tests.*",
)

REPLACED = {
    "_core/_add_newdocs.py": "",
    "_core/_add_newdocs_scalars.py": "",
    # The one name that the rest of numpy takes from it.
    "_typing/__init__.py": "from numpy._core.multiarray import ndarray as NDArray\n",
}


def main(folder: Path) -> None:
    """Change the package in ``folder``.

    Raises:
        FileNotFoundError: it has no such part, as another version of numpy might.
    """
    for pattern in REMOVED:
        parts = list(folder.glob(f"numpy/{pattern}"))
        if not parts:
            raise FileNotFoundError(f"{folder}/numpy has no {pattern}")
        for part in parts:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    for name, text in REPLACED.items():
        if not (folder / "numpy" / name).exists():
            raise FileNotFoundError(f"{folder}/numpy has no {name}")
        (folder / "numpy" / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
