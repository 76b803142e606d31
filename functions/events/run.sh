#!/bin/sh
# What the Lambda Web Adapter starts in the function's directory, and forwards requests to. No access log: queries hold tickets.
set -eu
export PYTHONPATH="${LAMBDA_TASK_ROOT}:${LAMBDA_RUNTIME_DIR}"
exec python3 -m uvicorn levante_events.lambda_app:app --host 127.0.0.1 --port "${AWS_LWA_PORT}" --no-access-log
