"""AWS Lambda: events, the entry point, telemetry and secrets."""
