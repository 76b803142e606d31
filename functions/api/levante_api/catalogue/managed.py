"""Endpoints of what Mistral runs for its customers, and nobody does here: they say what to do instead.

docs/reference/compatibility.md has them all.
"""

from functools import partial
from typing import NoReturn

from levante_api.http.endpoints import CLIENTS, READERS, Endpoint
from levante_api.http.problems import Refused

NOT_SELF_HOSTED = "NOT_SELF_HOSTED"


class ManagedEndpoints:
    """Refuses what has no meaning where everybody runs their own workers."""

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows/deployments"
        deployment = f"{path}/<name>"
        refused = partial(Endpoint, errors=(404,), is_refused=True)
        return [
            refused("POST", path, self.create_deployment, CLIENTS),
            refused("PATCH", deployment, self.update_deployment, CLIENTS),
            refused("DELETE", deployment, self.delete_deployment, CLIENTS),
            refused("POST", f"{deployment}/start", self.start_deployment, CLIENTS),
            refused("POST", f"{deployment}/stop", self.stop_deployment, CLIENTS),
            refused("POST", f"{deployment}/restart", self.restart_deployment, CLIENTS),
            refused("GET", f"{deployment}/archive", self.get_deployment_archive, READERS),
            refused("POST", f"{path}/<deployment_id>/unharden", self.unharden_deployment, CLIENTS),
        ]

    def create_deployment(self) -> None:
        """Always refused: a deployment is there as soon as a worker with its name is."""
        _refuse("workers run where you start them: start one with its DEPLOYMENT_NAME")

    def update_deployment(self, name: str) -> None:
        """Always refused: a deployment is what its workers say."""
        _refuse(f"workers run where you start them: start those of {name!r} anew with other code or settings")

    def delete_deployment(self, name: str) -> None:
        """Always refused: a deployment is inactive when its workers are gone."""
        _refuse(f"workers run where you start them: stop those of {name!r}, and it is inactive after 50 s")

    def start_deployment(self, name: str) -> None:
        """Always refused: workers are started where they run."""
        _refuse(f"workers run where you start them: start those of {name!r} there")

    def stop_deployment(self, name: str) -> None:
        """Always refused: workers are stopped where they run."""
        _refuse(f"workers run where you start them: stop those of {name!r} there; their executions wait for others")

    def restart_deployment(self, name: str) -> None:
        """Always refused: workers are restarted where they run."""
        _refuse(f"workers run where you start them: restart those of {name!r} there; their executions carry on")

    def get_deployment_archive(self, name: str) -> None:
        """Always refused: code stays with the workers."""
        _refuse(f"nothing is built here: the code of {name!r} is where its workers are")

    def unharden_deployment(self, deployment_id: str) -> None:
        """Always refused: no deployment is hardened."""
        _refuse(f"{deployment_id!r} is not hardened: workers register with keys of the role worker")


def _refuse(instead: str) -> NoReturn:
    raise Refused.because(404, NOT_SELF_HOSTED, f"there is no such thing here: {instead}")
