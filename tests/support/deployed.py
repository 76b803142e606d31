"""`template.yaml` deployed to an emulator, and workers of it."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.support.emulators import ENVIRONMENT
from tests.support.processes import Site

_numbers = count(1)


class DeployedSite(Site):
    """An installation on an emulator. It shares the stack with others, so its deployment has a name of its own."""

    recovery_seconds = 60.0
    """A lease ends after 30 s; nothing watches connections."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack. url: of its API. endpoint: of the emulator. key: an admin's."""

    url: str
    endpoint: str
    key: str

    def site(self, directory: Path) -> DeployedSite:
        """Reach the installation as a deployment of its own."""
        return DeployedSite(directory, self.url, self.key, f"site-{next(_numbers)}", AWS_ENDPOINT_URL=self.endpoint)
