"""A failure as it is recorded: what remains of an exception once it has crossed a process."""

import re
from enum import StrEnum

from levante_core.domain.frozen import Frozen, Json

_FRAME = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
"""A frame as `traceback.format_tb` writes it."""
_FOREIGN = re.compile(r"[\\/](site-packages|dist-packages|lib[\\/]python3\.\d+|worker_runtime[\\/]levante)[\\/]|^<frozen ")
"""Files of the standard library, of installed packages and of the SDK."""


class FailureKind(StrEnum):
    """Where a failure came from; decides which error workflow code sees."""

    APPLICATION = "application"
    """Raised by user code."""
    TIMEOUT = "timeout"
    """An activity attempt passed its start-to-close or heartbeat timeout."""
    WORKER_LOST = "worker_lost"
    """The worker that held the task stopped reporting."""
    CANCELED = "canceled"
    """The work was cancelled."""


class Failure(Frozen):
    """What remains of an exception once it has crossed a process."""

    kind: FailureKind = FailureKind.APPLICATION
    """What has failed, by what follows from it."""
    message: str
    """For people."""
    type: str = "Exception"
    """The name of the exception class."""
    non_retryable: bool = False
    """Whether no other attempt follows, whatever the policy."""
    details: Json = None
    """JSON the raiser added."""
    stack: str | None = None
    """The stack trace, if it was kept."""
    cause: "Failure | None" = None
    """The failure that led to it."""

    @property
    def location(self) -> str | None:
        """Return the innermost line of the user's own code in the stack, as `file:line in function`, if there is one."""
        frames = _FRAME.findall(self.stack or "")
        own = [frame for frame in frames if not _FOREIGN.search(frame[0])]
        if not frames:
            return None
        file, line, function = (own or frames)[-1]
        return f"{file}:{line} in {function}"


def describe_failure(failure: Failure) -> str:
    """Say in one line what was raised, and where."""
    first, *_ = failure.message.splitlines() or [""]
    raised = f"{failure.type}: {first}" if first and first != failure.type else failure.type
    return f"{raised} ({failure.location})" if failure.location else raised
