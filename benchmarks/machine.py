"""The machine on which something is measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine() -> dict:
    """The CPU and the versions that a measurement depends on."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
    }
