"""The event loop of a run: asyncio, made deterministic."""
