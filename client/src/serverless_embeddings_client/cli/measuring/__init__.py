"""What `embeddings measure` does: a version for the time of the measurement, requests to it, and what the figures say."""
