"""The API as a Lambda function. What this module makes is made once, and serves all requests of its environment."""

import os

from levante_api.app import ApiSettings, create_app
from levante_core.adapters.aws.composition import build_aws_engine, read_aws_settings
from levante_core.adapters.aws.lambda_handlers import FUNCTION_NAME, OF_THE_GATEWAY, Observer

_settings = read_aws_settings(os.environ)
_engine, _ = build_aws_engine(_settings)
_app = create_app(_engine, ApiSettings(quiet=_settings.is_quiet, streams_at=_settings.streams_at, prices=_settings.prices))

handler = Observer(_settings, os.environ[FUNCTION_NAME])(_app, correlation_id_path=OF_THE_GATEWAY)
