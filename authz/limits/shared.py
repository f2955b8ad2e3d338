"""The limiter of several sidecars: their budgets on one server, and a stated answer when it is away."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import structlog

from authz.core import AccessRequest, Limit, Over, Subject
from authz.limits.limiter import LocalLimiter, same_request, who
from authz.limits.store import Refused, StoreAwayError
from authz.metrics import LIMITS_AWAY_TOTAL

_PAUSE_SECONDS = 1.0
"""How long a server that did not answer is left alone. Then one decision tries it again, and the others do not wait."""
_MICROSECONDS = 1_000_000

_log = structlog.get_logger()


class SharedStore(Protocol):
    """Spends on a server. Raises StoreAwayError."""

    async def spend(
        self, whose: Sequence[str], limits: Sequence[Limit], retry: Sequence[str] | None, retry_seconds: float
    ) -> Refused | None:
        """All of the limits or none."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class SharedLimiter:
    """Implements core.Limiter on a server. The limit of client addresses stays each sidecar's own.

    While the server is away: `local` counts in this sidecar's own memory, so that N sidecars let through up to N
    times as much; `deny` is `limits_unavailable`.
    """

    def __init__(
        self,
        store: SharedStore,
        local: LocalLimiter,
        when_away: Literal["local", "deny"],
        retry_seconds: float,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._local = local
        self._when_away = when_away
        self._retry_seconds = retry_seconds
        self._elapsed = elapsed
        self._away_until: float | None = None
        self.admit = local.admit

    async def spend(
        self, request: AccessRequest, subject: Subject, limits: Sequence[Limit], position: int | None = None
    ) -> Over | None:
        """See core.Limiter."""
        if not self._may_try():
            return self._without(request, subject, limits, position)
        whose = ("observed" if request.caller.observes else "", *who(request, subject))
        same = same_request(request, position) if self._retry_seconds else None
        try:
            refused = await self._store.spend(whose, limits, same, self._retry_seconds)
        except StoreAwayError as error:
            self._went_away(str(error))
            return self._without(request, subject, limits, position)
        self._came_back()
        if refused is None:
            return None
        return Over("rate_limited", -(-refused.wait // _MICROSECONDS), limits[refused.which])

    @property
    def live(self) -> int:
        """Budgets that this sidecar keeps itself."""
        return self._local.live

    @property
    def forgotten(self) -> int:
        """See LocalLimiter."""
        return self._local.forgotten

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._store.close()

    def _may_try(self) -> bool:
        if self._away_until is None:
            return True
        if self._elapsed() < self._away_until:
            return False
        self._away_until = self._elapsed() + _PAUSE_SECONDS
        return True

    def _without(
        self, request: AccessRequest, subject: Subject, limits: Sequence[Limit], position: int | None
    ) -> Over | None:
        LIMITS_AWAY_TOTAL.inc()
        if self._when_away == "deny":
            return Over("limits_unavailable")
        return self._local.spend_now(request, subject, limits, position)

    def _went_away(self, why: str) -> None:
        if self._away_until is None:
            _log.error("limits_server_away", error=why, when_away=self._when_away)
        self._away_until = self._elapsed() + _PAUSE_SECONDS

    def _came_back(self) -> None:
        if self._away_until is not None:
            _log.warning("limits_server_back")
            self._away_until = None
