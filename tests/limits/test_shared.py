"""Budgets on a real server: exact, all or nothing, no names in it, and a stated answer when it is away."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import pytest
from redis.asyncio import Redis

from authz.core import ANONYMOUS, AccessRequest, Action, Caller, Entity, Limit, Over, Subject
from authz.core import Limiter as Port
from authz.limits import Budgets, LocalLimiter, Retries
from authz.limits.shared import SharedLimiter
from authz.limits.store import Refused, Store, StoreAwayError
from tests.limits.valkey import Valkey, valkey

pytestmark = pytest.mark.slow
__all__ = ["valkey"]

KEY = b"k" * 32
TWICE = Limit("ai:chat", 2, 36_000)
ONCE = Limit("ai:chat", 1, 36_000)
ALICE = Subject(type="user", id="alice", source="token", pseudonym=None, issuer="https://idp.test")
ASKED = AccessRequest(
    caller=Caller("gateway", sets_request_id=True),
    dialect="nginx",
    action=Action("POST"),
    resource=Entity("route", "/ai/chat"),
)
WHOSE = ("", "idp", "user", "alice")


class Watch:
    """A stopwatch that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[Store]:
    """A store on it that waits as long as a slow machine takes."""
    made = Store(valkey.url, KEY, None, 5.0)
    yield made
    await made.close()


def shared(store: Store, when_away: Literal["local", "deny"] = "local", watch: Watch | None = None) -> SharedLimiter:
    local = LocalLimiter(Budgets(100), Retries(10 * 1_000_000_000), time.monotonic_ns, None)
    return SharedLimiter(store, local, when_away, 10.0, watch or Watch())


async def test_it_is_the_cores_port(store: Store) -> None:
    """The pipeline takes it as its Limiter."""
    port: Port = shared(store)
    assert port is not None


async def test_a_burst_and_not_one_more(store: Store) -> None:
    """However many ask at once, exactly so many pass, and the others are told when."""
    answers = await asyncio.gather(*(store.spend(WHOSE, (TWICE,), None, 10) for _ in range(100)))
    refused = [each for each in answers if each is not None]
    assert len(refused) == 98
    assert all(each.which == 0 and 17_900_000_000 < each.wait <= 18_000_000_000 for each in refused)


async def test_two_sidecars_spend_one_budget(valkey: Valkey, store: Store) -> None:
    """What one has spent, the other cannot spend; another subject, limit or issuer is another budget."""
    other = Store(valkey.url, KEY, None, 5.0)
    here, there = shared(store), shared(other)
    bob = msgspec.structs.replace(ALICE, id="bob")
    elsewhere = msgspec.structs.replace(ALICE, issuer="https://other.test")
    assert await here.spend(ASKED, ALICE, (ONCE,)) is None
    assert await there.spend(ASKED, ALICE, (ONCE,)) == Over("rate_limited", 36_000, ONCE)
    assert await there.spend(ASKED, bob, (ONCE,)) is None
    assert await here.spend(ASKED, elsewhere, (ONCE,)) is None
    assert await here.spend(ASKED, ALICE, (TWICE,)) is None
    observed = msgspec.structs.replace(ASKED, caller=Caller("observer", observes=True))
    assert await here.spend(observed, ALICE, (ONCE,)) is None
    await other.close()


async def test_nothing_is_spent_where_one_budget_is_empty(store: Store) -> None:
    """Of several limits all are spent or none, and the refusal is the one that takes longest."""
    roomy, narrow = Limit("a", 2, 36_000), Limit("b", 1, 72_000)
    assert await store.spend(WHOSE, (roomy, narrow), None, 10) is None
    refused = await store.spend(WHOSE, (roomy, narrow), None, 10)
    assert refused is not None
    assert refused.which == 1
    assert await store.spend(WHOSE, (roomy,), None, 10) is None
    assert await store.spend(WHOSE, (roomy,), None, 10) is not None


async def test_a_retry_that_reaches_another_sidecar_counts_once(valkey: Valkey, store: Store) -> None:
    """The mark of a gateway's request ID is on the server too."""
    other = Store(valkey.url, KEY, None, 5.0)
    request = msgspec.structs.replace(ASKED, request_id="r-1")
    again = msgspec.structs.replace(ASKED, request_id="r-2")
    assert await shared(store).spend(request, ALICE, (ONCE,)) is None
    assert await shared(other).spend(request, ALICE, (ONCE,)) is None
    assert await shared(other).spend(again, ALICE, (ONCE,)) is not None
    await other.close()


async def test_the_server_holds_no_names_and_forgets(valkey: Valkey, store: Store) -> None:
    """Keys are keyed digests with the scope, values a time, and each ends when it says nothing any more."""
    request = msgspec.structs.replace(ASKED, request_id="r-secret", ip="192.0.2.77")
    await shared(store).spend(request, ALICE, (ONCE,))
    await shared(store).spend(request, ANONYMOUS, (ONCE,))
    server: Any = Redis.from_url(valkey.url)
    keys = [key.decode() for key in await server.keys("*")]
    lives = [await server.pttl(key) for key in keys]
    kept = " ".join([*keys, *[(await server.get(key) or b"").decode() for key in keys]])
    await server.aclose()
    assert len(keys) == 4
    assert all(0 < life <= 36_000_002 for life in lives)
    assert not any(name in kept for name in ("alice", "idp.test", "r-secret", "192.0.2.77", "/ai/chat"))


async def test_a_server_that_lost_its_scripts_is_told_again(valkey: Valkey, store: Store) -> None:
    """After a restart of the server the first decision is as good as any."""
    assert await store.spend(WHOSE, (TWICE,), None, 10) is None
    server = Redis.from_url(valkey.url)
    await server.script_flush()
    await server.aclose()
    assert await store.spend(WHOSE, (TWICE,), None, 10) is None
    assert await store.spend(WHOSE, (TWICE,), None, 10) is not None


@pytest.mark.parametrize(
    ("when_away", "expected"),
    [("local", [None, Over("rate_limited", 36_000, ONCE)]), ("deny", [Over("limits_unavailable")] * 2)],
)
async def test_while_it_is_away_the_answer_is_the_stated_one(
    valkey: Valkey, when_away: Literal["local", "deny"], expected: list[Over | None]
) -> None:
    """Hung: one decision waits as long as it may, the others not at all; back: it counts again, without a restart."""
    store, watch = Store(valkey.url, KEY, None, 0.5), Watch()
    made = shared(store, when_away, watch)
    await store.spend(WHOSE, (ONCE,), None, 10)
    valkey.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    answers = [await made.spend(ASKED, ALICE, (ONCE,)) for _ in range(2)]
    waited = time.monotonic() - started
    valkey.process.send_signal(signal.SIGCONT)
    watch.now = 2.0
    await asyncio.sleep(0)
    back = [await made.spend(ASKED, ALICE, (TWICE,)) for _ in range(3)]
    await store.close()

    assert answers == expected
    assert 0.4 < waited < 0.95
    assert [each is None for each in back] == [True, True, False]


async def test_a_server_that_is_gone_is_away(valkey: Valkey) -> None:
    """Killed, refusing or never there: an error that says so, at once."""
    store = Store(valkey.url, KEY, None, 5.0)
    valkey.process.kill()
    valkey.process.wait()
    with pytest.raises(StoreAwayError):
        await store.spend(WHOSE, (ONCE,), None, 10)
    await store.close()


class Tired:
    """A store that is away, and counts how often it was tried."""

    def __init__(self) -> None:
        self.tried = 0
        self.answer: Refused | None = None
        self.away = True

    async def spend(self, *_: object) -> Refused | None:
        self.tried += 1
        if self.away:
            raise StoreAwayError("test")
        return self.answer

    async def close(self) -> None:
        """Nothing."""


async def test_an_absent_server_is_tried_once_a_second() -> None:
    """While it is away one decision a second tries it, and the first that gets an answer ends it."""
    store, watch = Tired(), Watch()
    local = LocalLimiter(Budgets(100), Retries(0), time.monotonic_ns, None)
    made = SharedLimiter(store, local, "deny", 0.0, watch)
    for at in (0.0, 0.1, 0.9, 1.0, 1.5, 2.5):
        watch.now = at
        assert await made.spend(ASKED, ALICE, (ONCE,)) == Over("limits_unavailable")
    assert store.tried == 3
    store.away, watch.now = False, 4.0
    assert [await made.spend(ASKED, ALICE, (ONCE,)) for _ in range(3)] == [None] * 3
    assert store.tried == 6
