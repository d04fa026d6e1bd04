"""The entry point on Lambda. Importing it loads the model, so that loading happens in Lambda's init phase, before requests."""

import gc
import os


def _load():
    # Imported here, with the garbage collector off.
    from ..settings import Settings
    from .startup import load

    settings = Settings.from_environment(os.environ)
    # The build of the image compared all files with their hashes.
    return load(settings, os.environ.get("AWS_LAMBDA_FUNCTION_NAME"), compare_hashes=False)


# Whatever loading makes is there to stay, so the collector would search it for garbage in vain: a twentieth of the time.
gc.disable()
handler = _load()
gc.freeze()
gc.enable()
