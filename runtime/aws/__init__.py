"""Lambda: Function URL, handler, telemetry, secrets."""
