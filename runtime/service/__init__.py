"""The service: texts in, results out."""
