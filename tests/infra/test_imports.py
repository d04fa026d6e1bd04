"""Infrastructure imports the configuration, the manifest's schema and the headers of CORS, and nothing that loads a model."""

import subprocess
import sys

from configuration import PROJECT

COMMAND = """
import sys
import infra.stack
print(*(name for name in sys.modules if name.startswith("runtime.")))
print(*{"model_export", "torch", "onnxruntime", "numpy"} & set(sys.modules))
"""


def test_nothing_of_the_export_and_little_of_the_runtime_is_loaded() -> None:
    run = subprocess.run([sys.executable, "-c", COMMAND], cwd=PROJECT, capture_output=True, text=True, check=True)

    ours, others = run.stdout.splitlines()
    assert sorted(ours.split()) == ["runtime.engine", "runtime.engine.manifest", "runtime.http", "runtime.http.cors"]
    assert others == ""
