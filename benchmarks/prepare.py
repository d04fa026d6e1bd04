"""Makes the files that the peers load, and prints their paths:

python -m benchmarks.prepare FOLDER PRECISION...
"""

import json
import shutil
import sys
from pathlib import Path

from configuration.groups import EMBEDDED, ModelSettings
from model_export import artifact, checkpoint


def main(folder: Path, precisions: list[str]) -> dict:
    """Make them in ``folder``. Returns the fields of :class:`benchmarks.peers.Paths`."""
    settings = {precision: ModelSettings(model=EMBEDDED, precision=precision) for precision in precisions}
    source = checkpoint.fetch(next(iter(settings.values())))
    paths = {"checkpoint": source.folder, "onnx": folder / "onnx", "int8": folder / "int8"}
    if not (paths["int8"] / "model.onnx").exists():
        _export(source, paths["onnx"], paths["int8"])
    artifacts = {precision: artifact.build(each) for precision, each in settings.items()}
    return paths | {"artifacts": artifacts}


def _export(source: checkpoint.Checkpoint, fp32: Path, int8: Path) -> None:
    """Make Optimum's export, and a copy after onnxruntime's dynamic quantization with its defaults."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from optimum.exporters.onnx import main_export

    int8.mkdir(parents=True, exist_ok=True)
    task = {"task": "feature-extraction", "library_name": "transformers"}
    main_export(str(source.folder), fp32, **task, do_validation=False, trust_remote_code=False)
    shutil.copy(fp32 / "config.json", int8)
    unfinished = int8 / "unfinished.onnx"
    quantize_dynamic(fp32 / "model.onnx", unfinished, weight_type=QuantType.QInt8)
    unfinished.rename(int8 / "model.onnx")


if __name__ == "__main__":
    out = sys.stdout
    sys.stdout = sys.stderr
    made = main(Path(sys.argv[1]).resolve(), sys.argv[2:])
    print(json.dumps(made, default=str), file=out)
