"""Measures the service beside its peers, prices it, and writes the figures of docs/performance.md and the README."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
"""The committed results."""
MACHINES = RESULTS / "machines"
"""Of each machine that ran ``make bench``, its latest ratios and aims; ``python -m benchmarks`` writes the file of its machine."""
