"""The error of the configuration."""


class ConfigurationError(Exception):
    """A configuration value is wrong. The message names the key, its value and what is allowed, one mistake a line."""
