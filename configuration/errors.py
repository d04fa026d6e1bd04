"""The one error of the configuration."""


class ConfigurationError(Exception):
    """A configuration value is wrong: the message names its key, its value and what is allowed."""
