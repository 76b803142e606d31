"""The powertools resolver, made safe for a process in which requests overlap."""

import copy
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from levante_core.errors import InvalidInput


def written(value: Any) -> str:
    """Write an answer as compact JSON. Numbers that JSON does not know become null."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return to_json(value, inf_nan_mode="null").decode()


def parsed(text: str) -> Any:
    """Read a body. Raises: InvalidInput for what is no JSON: NaN and halves of surrogate pairs are none either."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput.at(("body",), f"the body is not valid JSON: {error}", "json_invalid") from None


class OverlappingResolver(APIGatewayHttpResolver):
    """A resolver whose requests may overlap on one thread, each suspended wherever it waits.

    Powertools keeps the event of the current request on the resolver and on its base class. Here every request is resolved
    by a copy that has an event and a context of its own; middlewares are given that copy. The routes are shared: powertools
    completes each at its first request, so one thread at a time may be in here.
    """

    def __init__(self) -> None:
        # Validation is no option here but part of `Authentication`, so that it comes after the API key.
        super().__init__(serializer=written)

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Answer one request."""
        request = copy.copy(self)
        request.context = {}
        request.processed_stack_frames = []
        request.current_event = APIGatewayProxyEventV2(dict(event), parsed)
        request.lambda_context = context
        return super(OverlappingResolver, request).resolve(event, context)
