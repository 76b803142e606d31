"""The schema of history events: one model for each kind, made of the domain's own.

They describe answers, and nothing is validated by them; so they are made when somebody asks for the document: a cold start
would take 50 ms longer (measured 2026-12-01).
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, create_model
from pydantic_core import from_json, to_json

from levante_api.executions.models import ShownEvent
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.execution import RunStart
from levante_core.domain.frozen import Frozen, Time
from levante_core.domain.history.events import OUTCOMES, FactTaken, HistoryEvent, MessagesTaken
from levante_core.domain.history.run_messages import RUN_MESSAGES


class _Shown(Frozen):
    event_id: int
    """From 1 on, without a gap."""
    recorded_at: Time
    """When it was taken into the history."""


class _ShownOutcome(_Shown):
    by_hand: ByHand
    """Who has given this outcome by hand; absent unless somebody has."""


class _ShownMessage(_Shown):
    taken_until: int
    """Number of the last of the messages that were taken at once."""


class ExecutionStartedEvent(RunStart, _Shown):
    """The run began."""

    kind: Literal["execution_started"] = "execution_started"


_STANDING_FOR_OTHERS = (FactTaken, MessagesTaken)
"""Shown as the outcomes and messages that were taken there."""


def _beside(event: type[BaseModel]) -> type[_Shown]:
    if event in RUN_MESSAGES:
        return _ShownMessage
    return _ShownOutcome if event in OUTCOMES else _Shown


def _shown(event: type[BaseModel]) -> type[BaseModel]:
    made: type[BaseModel] = create_model(
        f"{event.__name__}Event", __base__=(event, _beside(event)), __module__=__name__, __doc__=event.__doc__
    )
    return made


_RECORDED = [event for event in get_args(get_args(HistoryEvent)[0]) if event not in _STANDING_FOR_OTHERS]
SHOWN_EVENTS: tuple[type[BaseModel], ...] = (ExecutionStartedEvent, *map(_shown, [*_RECORDED, *RUN_MESSAGES]))
"""A model for each kind of event."""

_PAYLOADS = {"input", "result"}
"""Fields that an event comes without if nobody wants them."""


def event_schemas(existing: Mapping[str, Any], template: str) -> dict[str, Any]:
    """Return the schemas of all events and of what they consist of; `ShownEvent` is any of them, told apart by its kind.

    existing: schemas of the document; where one of them describes the same part of an answer, it is referred to.
    """
    union: Any = Annotated[reduce(or_, SHOWN_EVENTS), Field(discriminator="kind")]
    schema = TypeAdapter(union).json_schema(mode="serialization", ref_template=template)
    parts: dict[str, Any] = schema.pop("$defs")
    union_schema = {**schema, "title": ShownEvent.__name__, "description": ShownEvent.__doc__}
    text = to_json({**parts, ShownEvent.__name__: union_schema}).decode()
    for name in parts.keys() - {model.__name__ for model in SHOWN_EVENTS}:
        if f"{name}-Output" in existing:
            text = text.replace(f'"{template.format(model=name)}"', f'"{template.format(model=name)}-Output"')
    described: dict[str, Any] = from_json(text)
    for model in SHOWN_EVENTS:
        left_out = _PAYLOADS | ({"by_hand"} if issubclass(model, _ShownOutcome) else set())
        fields = described[model.__name__]["properties"]
        described[model.__name__]["required"] = [field for field in fields if field not in left_out]
    return {name: part for name, part in described.items() if name not in existing or name == ShownEvent.__name__}
