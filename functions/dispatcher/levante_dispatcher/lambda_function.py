"""The dispatcher as three Lambda functions of one artifact. What this module makes is made once per environment."""

import os

from levante_core.adapters.aws.composition import build_aws_engine, read_aws_settings
from levante_core.adapters.aws.lambda_handlers import FUNCTION_NAME, Observer
from levante_dispatcher.handlers import build_handlers, without_halving

_settings = read_aws_settings(os.environ)
_engine, _store = build_aws_engine(_settings)
_handlers = build_handlers(_engine, _store.resolved)
_observed = Observer(_settings, os.environ[FUNCTION_NAME])

stream_handler = _observed(without_halving(_handlers.stream))
timers_handler = _observed(_handlers.timers)
sweep_handler = _observed(_handlers.sweep)
