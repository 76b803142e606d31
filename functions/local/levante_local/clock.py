"""The clock of programs whose handlers share one event loop."""

from levante_core.adapters.system import SystemClock
from levante_local.greenlets import sleep


class LocalClock(SystemClock):
    """The wall clock; whoever sleeps lets the other calls go on."""

    def sleep(self, seconds: float) -> None:
        """Return after this time."""
        sleep(seconds)
