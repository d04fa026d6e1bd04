"""The published clients, in a Python environment and a folder of Node packages apart from the project's."""

import json
import os
import shutil
import sys
from pathlib import Path

from containers.tools import TOOLS, run

_HERE = Path(__file__).parent
_PYTHON, _NODE = TOOLS / "clients-python", TOOLS / "clients-node"
NODE_MODULES = _NODE / "node_modules"


def ensure_python() -> None:
    """Install the Python clients, unless the same versions are there.

    Raises:
        ToolError: they could not be installed.
    """
    sources = [_HERE / "requirements.txt", _HERE / "constraints.txt"]
    if _are_in(_PYTHON, sources):
        return
    run([sys.executable, "-m", "venv", "--clear", _PYTHON])
    # Python compiles a module when it is first imported, and most of these never are.
    run([_PYTHON / "bin" / "pip", "install", "--quiet", "--no-compile", "--requirement", sources[0]], timeout=1200)
    _copy(sources, _PYTHON)


def ensure_node() -> None:
    """Install the Node clients, unless the same versions are there.

    Raises:
        ToolError: they could not be installed.
    """
    sources = [_HERE / "package.json", _HERE / "package-lock.json"]
    # Like ``venv --clear``, ``npm ci`` empties this folder first: the copies are there only if all went well.
    if _are_in(NODE_MODULES, sources):
        return
    _NODE.mkdir(parents=True, exist_ok=True)
    _copy(sources, _NODE)
    run(["npm", "ci", "--prefix", _NODE, "--no-audit", "--no-fund", "--loglevel", "error"])
    _copy(sources, NODE_MODULES)


def run_python(code: str, **variables: object) -> object:
    """Run ``code`` with these global variables, and return the value of the last line that it prints, which is JSON.

    Raises:
        ToolError: it raised an exception; the message holds the traceback.
    """
    assignments = "".join(f"{name} = {value!r}\n" for name, value in variables.items())
    return _last_line([_PYTHON / "bin" / "python", "-c", assignments + code], _PYTHON)


def run_node(code: str, **variables: object) -> object:
    """``run_python`` for a JavaScript module."""
    assignments = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in variables.items())
    return _last_line(["node", "--input-type=module", "--eval", assignments + code], _NODE)


def _last_line(command: list, folder: Path) -> object:
    # At their start some clients report their use, fetch prices or fetch OpenAI's vocabulary, which LiteLLM brings along.
    vocabulary = next(_PYTHON.glob("lib/*/site-packages/litellm/litellm_core_utils/tokenizers"), "")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OPENAI_API_KEY")} | {
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "ANONYMIZED_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TIKTOKEN_CACHE_DIR": str(vocabulary),
    }
    return json.loads(run(command, env=env, cwd=folder).splitlines()[-1])


def _are_in(folder: Path, files: list[Path]) -> bool:
    """Whether ``folder`` holds copies of the files."""
    return all((copy := folder / file.name).exists() and copy.read_text() == file.read_text() for file in files)


def _copy(files: list[Path], folder: Path) -> None:
    for file in files:
        shutil.copy(file, folder)
