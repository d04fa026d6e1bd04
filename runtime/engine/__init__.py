"""The engine: token ids in, numbers out. It knows nothing of HTTP, prompts or limits."""
