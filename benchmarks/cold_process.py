"""A process that starts, embeds one text and says where the time went:

    python benchmarks/cold_process.py ours|plain FOLDER STARTED

``STARTED`` is the monotonic clock when it was started. ``ours`` loads the artifact in ``FOLDER`` as the Lambda handler does;
``plain`` is the usual way: ``tokenizers`` and a session with default options on the int8 model in one file.
"""

import gc
import json
import sys
import time

TEXT = "query: how far is it to the sea?"
LONGEST = 512

steps: dict[str, float] = {}


def step(name: str) -> None:
    """Record the CPU time since the last step, which other processes do not lengthen."""
    steps[name] = time.process_time() * 1000 - sum(steps.values())


STEPS = {"manifest": "manifest", "tokenizer": "load tokenizer", "session": "create session"}
"""The names in the report of the engine's steps."""


def ours(folder: str):
    """Load what runtime/aws/handler.py loads; returns a function that embeds a text."""
    from runtime.aws.startup import load
    from runtime.settings import Settings

    step("import runtime")
    settings = Settings(model_dir=folder, log_level="ERROR")
    handle = load(settings, threads=1, on_step=lambda name: step(STEPS[name]), compare_hashes=False)
    gc.freeze()
    gc.enable()
    step("application")
    return lambda text: handle({"inputs": text, "truncate": True})


def plain(folder: str):
    """Load the model in the usual way, with one thread; returns a function that embeds a text."""
    import numpy
    import onnxruntime
    from tokenizers import Tokenizer

    step("import tokenizers")
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(LONGEST)
    step("load tokenizer")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    step("create session")

    def embed(text: str) -> str:
        ids = numpy.array([tokenizer.encode(text).ids])
        feeds = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
        vector = session.run(None, {name: feeds[name] for name in names})[0][0].mean(0)
        return json.dumps((vector / numpy.linalg.norm(vector)).tolist())

    return embed


def _peak_mb() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def _read_mb() -> float:
    with open("/proc/self/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("read_bytes")) / 1e6


if __name__ == "__main__":
    step("start Python")
    if sys.argv[1] == "ours":
        gc.disable()  # as runtime/aws/handler.py does
        sys.modules["typing_extensions"] = None  # not in the image
    import numpy  # noqa: F401

    step("import numpy")
    import onnxruntime  # noqa: F401

    step("import onnxruntime")
    embed = {"ours": ours, "plain": plain}[sys.argv[1]](sys.argv[2])
    embed(TEXT)
    step("first text")
    wall = (time.clock_gettime(time.CLOCK_MONOTONIC) - float(sys.argv[3])) * 1000
    result = {"steps": dict(steps), "cpu_ms": sum(steps.values()), "wall_ms": wall, "read_mb": _read_mb()}
    embed(TEXT)
    step("second text")
    embed("word " * 600)
    print(json.dumps(result | {"second_cpu_ms": steps["second text"], "peak_mb": _peak_mb()}))
