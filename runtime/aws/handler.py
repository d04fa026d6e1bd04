"""The entry point on Lambda. Importing it loads the model, so that loading happens in Lambda's init phase, before requests."""

import os

from ..settings import Settings
from .startup import load

handler = load(Settings.from_environment(os.environ), os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))
