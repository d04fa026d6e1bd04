"""Heads: from the vectors of a text's tokens to the answer of a task."""
