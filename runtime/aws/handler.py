"""The entry point on Lambda. Importing it loads the model: Lambda's init phase, which is not part of any request."""

import os

from ..settings import Settings
from .startup import load

handler = load(Settings.from_environment(os.environ), os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))
