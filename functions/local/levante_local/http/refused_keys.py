"""Callers whose keys are refused: one line reports them now and then, and whoever goes on guessing waits."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

from levante_local.http.gateway import Scope, Send

logger = logging.getLogger("levante.access")

UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True)
class GuessLimits:
    """free: refusals of an address that are answered at once. forget_seconds: after the last one, it has as many again.

    first_seconds: the wait after that, twice as long with each further refusal, up to longest_seconds. waiting: callers that
    wait at a time; those beyond are answered at once. addresses: kept in mind. log_seconds: between two lines.
    """

    free: int = 5
    forget_seconds: float = 60.0
    first_seconds: float = 0.25
    longest_seconds: float = 5.0
    waiting: int = 256
    addresses: int = 10_000
    log_seconds: float = 10.0


@dataclass(slots=True)
class _Address:
    refusals: int = 0
    last: float = 0.0
    unlogged: int = 0


class RefusedKeys:
    """Counts refusals by the address of the caller. Only answers that refuse a key wait: good keys pay for nobody."""

    def __init__(self, limits: GuessLimits) -> None:
        self._limits = limits
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._waiting = 0
        self._unlogged = 0
        self._report: asyncio.TimerHandle | None = None

    def slowing(self, scope: Scope, send: Send, key: str) -> Send:
        """Wrap what answers a request, so that a refusal of its key is counted and waits. key: what may be logged of it."""

        async def slowly(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start" and message["status"] == UNAUTHENTICATED:
                await self._refused((scope.get("client") or ("unknown",))[0], key)
            await send(message)

        return slowly  # type: ignore[return-value] # messages are dicts

    async def _refused(self, address: str, key: str) -> None:
        now = asyncio.get_running_loop().time()
        known = self._address(address, now)
        self._log(address, key, known)
        above = known.refusals - self._limits.free
        if above > 0 and self._waiting < self._limits.waiting:
            self._waiting += 1
            try:
                await asyncio.sleep(min(self._limits.first_seconds * 2 ** min(above - 1, 30), self._limits.longest_seconds))
            finally:
                self._waiting -= 1

    def _address(self, address: str, now: float) -> _Address:
        known = self._addresses.pop(address, None)
        if known is None or now - known.last > self._limits.forget_seconds:
            known = _Address(unlogged=known.unlogged if known else 0)
        self._addresses[address] = known
        if len(self._addresses) > self._limits.addresses:
            self._addresses.popitem(last=False)
        known.refusals += 1
        known.last = now
        return known

    def _log(self, address: str, key: str, known: _Address) -> None:
        """Log the first refusal at once, and what follows it together."""
        if self._report is not None:
            self._unlogged += 1
            known.unlogged += 1
            return
        logger.warning("refused the API key of a request from %s (%s)", address, key)
        self._report = asyncio.get_running_loop().call_later(self._limits.log_seconds, self._log_rest)

    def _log_rest(self) -> None:
        self._report = None
        if not self._unlogged:
            return
        worst = max(self._addresses, key=lambda address: self._addresses[address].unlogged)
        logger.warning(
            "refused the API keys of %d more requests within %g s, %d of them from %s",
            self._unlogged,
            self._limits.log_seconds,
            self._addresses[worst].unlogged,
            worst,
        )
        self._unlogged = 0
        for known in self._addresses.values():
            known.unlogged = 0
        self._report = asyncio.get_running_loop().call_later(self._limits.log_seconds, self._log_rest)
