"""The service: texts in, results out. It knows nothing of HTTP, Lambda or environment variables."""
