#!/bin/sh
# Starts the function on Lambda, behind the runtime interface emulator where one is mounted, or as a plain HTTP server.
# $1 is the handler.
set -e

EMULATOR=/usr/local/bin/aws-lambda-rie

if [ -n "$AWS_LAMBDA_RUNTIME_API" ]; then
    exec python -m awslambdaric "$@"
elif [ -x "$EMULATOR" ]; then
    exec "$EMULATOR" python -m awslambdaric "$@"
else
    exec python -m runtime.server --host 0.0.0.0 --port 8080 --model-dir "$EMBEDDINGS_MODEL_DIR"
fi
