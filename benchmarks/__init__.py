"""Measures the service beside its peers, prices it, and writes the figures that the README shows."""
