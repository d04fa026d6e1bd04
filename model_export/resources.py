"""The disk and the memory that an export needs, compared beforehand with those that there are."""

import shutil
from pathlib import Path

from .errors import ExportError
from .progress import say

DISK_FACTOR = 3
"""Times the fp32 weights: the exported body, a graph that is tried, and the artifact."""
MEMORY_FACTOR = 2.25
"""Times the fp32 weights: those that torch loads, if they are in 16 bits in the checkpoint, and what it takes to trace the graph.
Measured by ``tests/model_export/test_size.py``."""
MEMORY_BASE = 1.6e9
"""Bytes that the libraries and a tokenizer with 250,000 words take."""

CGROUP = Path("/sys/fs/cgroup")


def check_resources(parameters: int, folder: Path) -> None:
    """Print what the export of a model with so many ``parameters`` into ``folder`` needs.

    Raises:
        ExportError: the machine has less.
    """
    weights = 4 * parameters
    disk, memory = DISK_FACTOR * weights, MEMORY_BASE + MEMORY_FACTOR * weights
    free, available = shutil.disk_usage(folder).free, available_memory()
    say(
        f"  {_size(weights)} of weights in fp32: the export takes up to {_size(memory)} of memory and {_size(disk)} of disk"
    )
    if free < disk:
        raise ExportError(
            f"the export needs {_size(disk)} on the disk of {folder.parent}, which has {_size(free)} free"
        )
    if available is not None and available < memory:
        raise ExportError(
            f"the export needs {_size(memory)} of memory, and this machine has {_size(available)} available"
        )


def _size(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def available_memory() -> int | None:
    """Bytes of memory that this process can take, by the machine and by the limits of its control groups; None where there is no
    ``/proc``, as on macOS."""
    try:
        machine = Path("/proc/meminfo").read_text()
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    rooms = [int(machine.partition("MemAvailable:")[2].split()[0]) * 1024]
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            rooms += _rooms(CGROUP / controllers, path)
    return min(rooms)


def _rooms(root: Path, path: str) -> list[int]:
    """What the limits of a control group and of those around it leave. In a container, only ``root`` may be there.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html for its names in the second version."""
    own = root / path.lstrip("/")
    rooms = []
    for folder in (own, *own.parents):
        for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            try:
                most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
                files = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            except OSError:
                continue
            if most != "max":
                # The kernel takes pages of files back when memory is short.
                rooms.append(int(most) - used + int(files.get("total_inactive_file") or files["inactive_file"]))
        if folder == root:
            break
    return rooms
