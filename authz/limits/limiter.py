"""The limiter of one sidecar: budgets of its own, in memory."""

from collections.abc import Callable, Sequence

from authz.core import AccessRequest, Limit, Over, Subject
from authz.limits.addresses import client_of
from authz.limits.budgets import Budgets, Spending, spending
from authz.limits.retries import Retries

_SECOND = 1_000_000_000


def retry_after(wait_ns: int) -> int:
    """Whole seconds, rounded up (RFC 9110 section 10.2.3): a client that waits so long is not refused again."""
    return -(-wait_ns // _SECOND)


def who(request: AccessRequest, subject: Subject) -> tuple[str, ...]:
    """Whose budget it is: a subject of an issuer, or the client's address where nobody is known."""
    if subject.id:
        return subject.issuer or "", subject.type, subject.id
    return ("", "address", client_of(request.ip or ""))


def same_request(request: AccessRequest, position: int | None) -> tuple[str, ...] | None:
    """What a gateway's retry has in common with the first try; None where the request ID may be a client's choice."""
    if not request.caller.sets_request_id or request.request_id is None:
        return None
    at = "" if position is None else str(position)
    resource = request.resource
    return request.caller.name, request.request_id, at, request.action.name, resource.type, resource.id


class LocalLimiter:
    """Implements core.Limiter. What it counts is lost with the process.

    `nanoseconds` is a clock that never goes back. `door`: the limit of each client address, if there is one.
    """

    def __init__(
        self, budgets: Budgets, retries: Retries, nanoseconds: Callable[[], int], door: tuple[Limit, Budgets] | None
    ) -> None:
        self._budgets = budgets
        self._retries = retries
        self._nanoseconds = nanoseconds
        self._door = door

    def admit(self, request: AccessRequest) -> Over | None:
        """See core.Limiter."""
        if self._door is None or request.ip is None:
            return None
        (limit, budgets), now = self._door, self._nanoseconds()
        client = hash((request.caller.observes, client_of(request.ip)))
        retry = _retry(client, request, None)
        if retry is not None and self._retries.seen(retry, now):
            return None
        wait = budgets.spend_one(*spending(client, limit), now)
        if wait:
            return Over("rate_limited", retry_after(wait))
        if retry is not None:
            self._retries.remember(retry, now)
        return None

    async def spend(
        self, request: AccessRequest, subject: Subject, limits: Sequence[Limit], position: int | None = None
    ) -> Over | None:
        """See core.Limiter."""
        return self.spend_now(request, subject, limits, position)

    def spend_now(
        self, request: AccessRequest, subject: Subject, limits: Sequence[Limit], position: int | None
    ) -> Over | None:
        """As `spend`, at once."""
        now, whose = self._nanoseconds(), hash((request.caller.observes, *who(request, subject)))
        retry = _retry(whose, request, position)
        if retry is not None and self._retries.seen(retry, now):
            return None
        if len(limits) == 1:
            spent, wait = 0, self._budgets.spend_one(*_spending(whose, limits[0]), now)
        else:
            refusal = self._budgets.spend([_spending(whose, limit) for limit in limits], now)
            spent, wait = refusal or (0, 0)
        if wait:
            return Over("rate_limited", retry_after(wait), limits[spent])
        if retry is not None:
            self._retries.remember(retry, now)
        return None

    @property
    def live(self) -> int:
        """Budgets that are kept."""
        return len(self._budgets) + (len(self._door[1]) if self._door else 0)

    @property
    def forgotten(self) -> int:
        """Budgets that had to give way to others before they were full again."""
        return self._budgets.forgotten + (self._door[1].forgotten if self._door else 0)

    async def close(self) -> None:
        """Nothing is held open."""


def _retry(whose: int, request: AccessRequest, position: int | None) -> int | None:
    same = same_request(request, position)
    return None if same is None else hash((whose, same))


def _spending(whose: int, limit: Limit) -> Spending:
    return spending(hash((whose, limit.scope, limit.count, limit.per_seconds, limit.burst)), limit)
