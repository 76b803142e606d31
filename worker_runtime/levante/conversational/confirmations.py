"""Confirmations: forms of one field, which a client shows as buttons. Source: SDK contract §5 (read 2026-11-23)."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict, create_model

from levante.conversational.forms import INPUT_KIND, FormInput, Options, SingleChoice

__all__ = [
    "ACCEPT_OPTION_VALUE",
    "DECLINE_OPTION_VALUE",
    "AcceptDeclineConfirmation",
    "ConfirmationInput",
    "ConfirmationInputModel",
    "is_accepted",
]

ACCEPT_OPTION_VALUE: Final = "accept"
DECLINE_OPTION_VALUE: Final = "decline"


class ConfirmationInputModel(FormInput):
    """What was chosen. choice: the value of an option."""

    model_config = ConfigDict(json_schema_extra={INPUT_KIND: "confirmation"})

    choice: str


class _AcceptOrDecline(ConfirmationInputModel):
    model_config = ConfigDict(json_schema_extra={INPUT_KIND: "accept-decline"})


def ConfirmationInput(options: Options, description: str | None = None) -> type[ConfirmationInputModel]:  # noqa: N802 - the contract's name
    """Make the model of a choice, for `wait_for_input`. Raises: ValueError for no options, or two of one value."""
    return _confirmation(ConfirmationInputModel, options, description)


def AcceptDeclineConfirmation(  # noqa: N802 - the contract's name
    description: str | None = None, accept_label: str = "Accept", decline_label: str = "Decline"
) -> type[ConfirmationInputModel]:
    """Make the model of a yes or no, for `wait_for_input`; `is_accepted` reads the answer."""
    options = [(ACCEPT_OPTION_VALUE, accept_label), (DECLINE_OPTION_VALUE, decline_label)]
    return _confirmation(_AcceptOrDecline, options, description)


def is_accepted(answer: ConfirmationInputModel) -> bool:
    """Tell whether an AcceptDeclineConfirmation was accepted."""
    return answer.choice == ACCEPT_OPTION_VALUE


def _confirmation(
    base: type[ConfirmationInputModel], options: Options, description: str | None
) -> type[ConfirmationInputModel]:
    return create_model("ConfirmationInput", __base__=base, choice=(str, SingleChoice(options, description)))
