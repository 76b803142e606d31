"""Reading a history that may take several answers."""

from __future__ import annotations

from levante.worker.transport.api import Api
from levante_core.protocol.workers import LoadRequest, LoadResponse


async def load_whole(api: Api, request: LoadRequest) -> LoadResponse:
    """Ask for all parts of what was asked for, and return them as one. Cost: a call per 3 MB."""
    loaded = await api.load(request)
    while loaded.next is not None:
        part = await api.load(request.model_copy(update={"after": loaded.next}))
        loaded = part.model_copy(update={"batches": (*loaded.batches, *part.batches), "facts": (*loaded.facts, *part.facts)})
    return loaded
