"""Copies the standard library's modules that a start imports into one folder, for the build of the image:

    python stdlib_folder.py FOLDER

In the standard library they lie far from each other; side by side, Lambda fetches fewer chunks. They are bytecode without sources. The
other modules of their packages are in the folder too: Python looks for a package's modules in one place only.
"""

import importlib
import sys
from pathlib import Path


def imported(*names: str) -> list[Path]:
    """Import modules, and return the files of all modules that there are then."""
    for name in names:
        importlib.import_module(name)
    return [Path(module.__file__) for module in sys.modules.values() if getattr(module, "__file__", None)]


def main(folder: Path) -> None:
    """Write the folder."""
    files = imported("awslambdaric.bootstrap", "runtime.aws.startup")

    # Imported here, so that they are not taken for modules of a start.
    import py_compile
    import sysconfig

    library = Path(sysconfig.get_path("stdlib"))
    start = {file for file in files if file.suffix == ".py" and file.is_relative_to(library)}
    packages = {library / file.relative_to(library).parts[0] for file in start if file.parent != library}
    for source in sorted(start.union(*(package.rglob("*.py") for package in packages))):
        target = folder / source.relative_to(library).with_suffix(".pyc")
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), str(target), doraise=True, invalidation_mode=mode)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
