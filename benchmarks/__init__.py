"""Measures the service beside its peers, prices it, and writes the figures of docs/performance.md and the README."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
"""The committed results."""
