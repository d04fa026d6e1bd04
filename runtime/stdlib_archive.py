"""Makes one archive of the standard library's modules that a start imports, for the build of the image:

    python stdlib_archive.py ARCHIVE

As files they lie all over the standard library; in the archive side by side, so that Lambda fetches fewer chunks. It has bytecode, and
does not compress it. The other modules of their packages are in it too: Python looks for a package's modules in one place only.
"""

import importlib
import sys
from pathlib import Path


def imported(*names: str) -> list[Path]:
    """Import modules, and return the files of all modules that there are then."""
    for name in names:
        importlib.import_module(name)
    return [Path(module.__file__) for module in sys.modules.values() if getattr(module, "__file__", None)]


def main(archive: Path) -> None:
    """Write the archive."""
    files = imported("awslambdaric.bootstrap", "runtime.aws.startup")

    # Imported here, so that they are not taken for modules of a start.
    import py_compile
    import sysconfig
    import zipfile

    library = Path(sysconfig.get_path("stdlib"))
    start = [file for file in dict.fromkeys(files) if file.suffix == ".py" and file.is_relative_to(library)]
    packages = sorted({library / file.relative_to(library).parts[0] for file in start if file.parent != library})
    others = [file for package in packages for file in sorted(package.rglob("*.py")) if file not in start]
    with zipfile.ZipFile(archive, "w") as target:
        # The modules of a start come last, next to the archive's directory, which is read as well.
        for source in [*others, *start]:
            bytecode = archive.with_suffix(".pyc")
            py_compile.compile(
                str(source),
                str(bytecode),
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            name = source.relative_to(library).with_suffix(".pyc")
            target.writestr(zipfile.ZipInfo(str(name)), bytecode.read_bytes())
            bytecode.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
