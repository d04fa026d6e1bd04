"""Runs the runtime on emulated CPUs: x86 without VNNI, and Arm.

qemu's user mode emulates a process, not a machine: the process opens this machine's files. x86 CPUs run this
Python with its packages; Arm gets a Debian root and the runtime's packages for arm64. Both come from Debian 13, since
onnxruntime for Arm crashes in Debian 12's qemu 7.2. Everything lies in ``build/tools``; nothing is installed in the system,
and no binfmt registration or privilege is needed.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from containers.tools import PROJECT, TOOLS, ToolError, run, say, tail

CPUS = {"Haswell": "x86_64", "EPYC-Rome": "x86_64", "neoverse-n1": "aarch64"}
"""qemu's names of the CPUs, and the architecture of each. Haswell and Zen 2 have AVX2 but no VNNI; Lambda's x86 fleet has such
CPUs. Neoverse N1 is AWS Graviton2, on which Lambda runs arm64 functions."""

_SUITE = "trixie"
_PYTHON = "3.13"
"""The suite's Python, the same as the runtime image's."""
_ROOT_PACKAGES = (f"python{_PYTHON}", "libstdc++6")
_QEMU_PACKAGE = "qemu-user:amd64"
_REQUIREMENTS = PROJECT / "runtime" / "requirements.txt"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unavailable() -> str | None:
    """Return the reason why CPUs cannot be emulated on this machine, or None if they can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"emulated CPUs need Linux on x86_64, not {platform.system()} on {platform.machine()}"
    if not _KEYRING.exists() or not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        return f"emulated CPUs come from Debian's packages: this needs apt-get, dpkg-deb and {_KEYRING}"
    return None


def ensure() -> Path:
    """Return the folder with qemu, the arm64 root and the packages. The first call downloads 90 MB of Debian packages and 40 MB
    of Python packages.

    Raises:
        ToolError: a download failed.
    """
    wanted = "\n".join([_SUITE, *_ROOT_PACKAGES, _QEMU_PACKAGE, _REQUIREMENTS.read_text()])
    folder = TOOLS / f"qemu-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not folder.exists():
        TOOLS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TOOLS, prefix="qemu-") as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            _unpack_debian_packages(made, Path(scratch, "apt"))
            _install_python_packages(made / "packages")
            made.rename(folder)
    return folder


def embed(artifact: Path, texts: Sequence[str], cpu: str | None = None, threads: int = 1) -> np.ndarray:
    """Embed ``texts`` with ``runtime.engine.engine`` in a separate process: float32 [texts, dimensions], normalized.

    Args:
        artifact: folder of the artifact.
        cpu: one of :data:`CPUS`, or None for this machine's CPU.
        threads: threads to compute with.

    Raises:
        ToolError: the process failed.
    """
    script = ["-m", "tests.support.embed", str(artifact), str(threads)]
    if cpu is None:
        command, packages = [sys.executable, *script], []
    else:
        folder, architecture = ensure(), CPUS[cpu]
        command, packages = [folder / "qemu" / f"usr/bin/qemu-{architecture}", "-cpu", cpu], []
        if architecture == "x86_64":
            command += [sys.executable, *script]
        else:
            root = folder / "root"
            command += ["-L", root, root / f"usr/bin/python{_PYTHON}", *script]
            packages = [str(folder / "packages")]
    # Only these variables: others of this machine, such as OPENBLAS_CORETYPE, may ask for instructions that the CPU lacks.
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(packages)}
    done = subprocess.run(
        [str(word) for word in command], input=json.dumps(texts).encode(), capture_output=True, env=env, cwd=PROJECT
    )
    if done.returncode:
        log = tail(done.stderr.decode(errors="replace"))
        raise ToolError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{log}")
    return np.load(io.BytesIO(done.stdout))


def _unpack_debian_packages(folder: Path, state: Path) -> None:
    """Put qemu into ``folder``/qemu and an arm64 root into ``folder``/root, with an apt that keeps all its state in ``state``."""
    for path in ("lists/partial", "cache/archives/partial"):
        (state / path).mkdir(parents=True)
    (state / "status").touch()
    source = state / "sources.list"
    source.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {_SUITE} main\n")
    # The system's own settings (a proxy, certificates) stay in force; an empty status makes apt fetch all dependencies.
    options = {
        "APT::Architecture": "arm64",
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", *(f"--option={name}={value}" for name, value in options.items())]
    apt += ["--option=APT::Architectures::=arm64", "--option=APT::Architectures::=amd64"]
    say(f"fetching qemu and an arm64 Python from Debian's packages ({_SUITE})")
    run([*apt, "update"])
    packages = [*_ROOT_PACKAGES, _QEMU_PACKAGE]
    run([*apt, "install", "--download-only", "--yes", "--no-install-recommends", *packages])
    # Libraries are in /usr/lib, and the interpreter that executables name is in /lib: in a whole Debian, the same folder.
    (folder / "root/usr/lib").mkdir(parents=True)
    (folder / "root/lib").symlink_to("usr/lib")
    for package in sorted((state / "cache/archives").glob("*.deb")):
        part = "qemu" if package.name.startswith("qemu-user_") else "root"
        run(["dpkg-deb", "--extract", package, folder / part])


def _mirror() -> str:
    """Return the URL of the Debian archive that this machine's packages come from."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    )
    for release, component, mirror in map(str.split, targets.splitlines()):
        if release == suite and component == "main":
            return mirror
    raise ToolError(f"apt's sources have no suite {suite!r} of Debian, so there is no archive to fetch {_SUITE} from")


def _install_python_packages(folder: Path) -> None:
    say(f"fetching the packages of {_REQUIREMENTS.relative_to(PROJECT)} for arm64")
    # pip takes wheels for exactly the platforms named.
    platforms = [f"--platform={name}_aarch64" for name in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    target = [*platforms, "--python-version", _PYTHON, "--only-binary=:all:"]
    options = ["--quiet", "--no-deps", "--no-compile", "--target", folder, "--requirement", _REQUIREMENTS]
    run([sys.executable, "-m", "pip", "install", *target, *options])
