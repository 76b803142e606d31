"""The error for a value that cannot cross a boundary."""

from __future__ import annotations

from levante.errors import ErrorCode, WorkflowError, WorkflowsException

IT_RAN = "The function did run, and is not run again"
"""What is said of an activity whose result cannot be recorded."""


class PayloadRefused(WorkflowsException, WorkflowError):
    """A value would not arrive as it is, so it is refused where it is made; the same value can never be taken.

    It depends on data and not on the code alone, so it ends an execution that it leaves, and an activity for good.
    """

    def __init__(self, message: str) -> None:
        WorkflowsException.__init__(self, message, status=422, code=ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR)
        self.non_retryable = True
        self.details = None
