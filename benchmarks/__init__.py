"""Measures the service beside its peers, prices it, and writes the figures of docs/performance.md and the README."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
"""The committed results."""
MACHINES = RESULTS / "machines"
"""Of each machine that ran ``make bench``, its latest ratios and aims; ``python -m benchmarks`` writes the file of its machine."""

IMAGE_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864",
    "PYTHONMALLOC": "malloc",
}
"""What makes a process work as in the image (runtime/Dockerfile). OpenBLAS, with which numpy's wheel comes, is not in the image; this way
it makes no threads."""
