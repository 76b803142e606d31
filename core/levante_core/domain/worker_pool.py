"""Worker pools: which workers of a deployment a task is for."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from levante_core.domain.names import DeploymentName, of_form


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers of a deployment, those of one of its builds, or the one that has a session.

    Stored, sent and shown as one text, `deployment@build~session`: `str` writes it, `parse` reads it.
    """

    deployment: DeploymentName
    build_id: str | None = None
    session: str | None = None

    @classmethod
    def parse(cls, text: str) -> "WorkerPool":
        """Read what `str` wrote. Its form was checked where it came in, see `worker_pool`."""
        workers, _, session = text.partition("~")
        deployment, _, build_id = workers.partition("@")
        return cls(DeploymentName(deployment), build_id or None, session or None)

    def __str__(self) -> str:
        text: str = self.deployment
        if self.build_id:
            text += f"@{self.build_id}"
        return f"{text}~{self.session}" if self.session else text

    @property
    def without_session(self) -> "WorkerPool":
        """The workers of which one has the session."""
        return WorkerPool(self.deployment, self.build_id) if self.session else self

    def for_session(self, session: str | None) -> "WorkerPool":
        """Return the one of these workers that has a session; all of them for None."""
        return WorkerPool(self.deployment, self.build_id, session) if session else self

    def for_build(self, build_id: str | None) -> "WorkerPool":
        """Return the workers of a build of the deployment, whichever sessions they have; for None, of no build."""
        return WorkerPool(self.deployment, build_id)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let models hold a pool, and be written and read with its text."""
        return core_schema.no_info_wrap_validator_function(
            lambda value, read: value if isinstance(value, cls) else cls.parse(read(value)),
            core_schema.str_schema(),
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )


def worker_pool(text: str) -> WorkerPool:
    """Check the form of a pool, and read it. Raises: InvalidInput."""
    return WorkerPool.parse(of_form("worker_pool", text))
