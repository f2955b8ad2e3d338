"""The limiter: whose budget it is, what counts once, and what a client cannot do about it."""

import msgspec
import pytest

from authz.core import ANONYMOUS, AccessRequest, Action, Caller, Entity, Limit, Over, Subject
from authz.core import Limiter as Port
from authz.limits import Budgets, LocalLimiter, Retries
from authz.limits.addresses import client_of

SECOND = 1_000_000_000
ONCE = Limit("ai:chat", 1, 3600)
GATEWAY = Caller("gateway", sets_request_id=True)
ASKED = AccessRequest(
    caller=GATEWAY, dialect="nginx", action=Action("POST"), resource=Entity("route", "/ai/chat"), ip="192.0.2.1"
)
ALICE = Subject(type="user", id="alice", source="token", pseudonym=None, issuer="https://idp.test")


class Watch:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def limiter(watch: Watch | None = None, address: Limit | None = None, retry_seconds: int = 10) -> LocalLimiter:
    door = (address, Budgets(100)) if address else None
    return LocalLimiter(Budgets(100), Retries(retry_seconds * SECOND), watch or Watch(), door)


def asked(**members: object) -> AccessRequest:
    return msgspec.structs.replace(ASKED, **members)


def test_it_is_the_cores_port() -> None:
    """The pipeline takes it as its Limiter."""
    port: Port = limiter()
    assert port is not None


async def test_a_refusal_says_when_to_come_back_in_whole_seconds_rounded_up() -> None:
    """A client that waits as long as it is told is not refused again."""
    watch = Watch()
    made = limiter(watch)
    assert await made.spend(ASKED, ALICE, (ONCE,)) is None
    watch.now = SECOND // 2
    assert await made.spend(ASKED, ALICE, (ONCE,)) == Over("rate_limited", 3600, ONCE)
    watch.now = 3599 * SECOND + 1
    assert await made.spend(ASKED, ALICE, (ONCE,)) == Over("rate_limited", 1, ONCE)
    watch.now = 3600 * SECOND
    assert await made.spend(ASKED, ALICE, (ONCE,)) is None


@pytest.mark.parametrize(
    "other",
    [
        (ASKED, msgspec.structs.replace(ALICE, id="bob"), ONCE),
        (ASKED, msgspec.structs.replace(ALICE, issuer="https://other.test"), ONCE),
        (ASKED, msgspec.structs.replace(ALICE, type="service"), ONCE),
        (ASKED, ALICE, Limit("ai:voice", 1, 3600)),
        (ASKED, ALICE, Limit("ai:chat", 2, 3600)),
        (ASKED, ANONYMOUS, ONCE),
        (asked(caller=Caller("gateway", observes=True)), ALICE, ONCE),
    ],
    ids=["subject", "issuer", "type", "scope", "limit", "nobody", "observing"],
)
async def test_budgets_are_apart(other: tuple[AccessRequest, Subject, Limit]) -> None:
    """Another subject, issuer, type, scope or limit has another budget, and so has whoever only observes."""
    made = limiter()
    assert await made.spend(ASKED, ALICE, (ONCE,)) is None
    assert await made.spend(ASKED, ALICE, (ONCE,)) is not None
    request, subject, limit = other
    assert await made.spend(request, subject, (limit,)) is None


async def test_nobody_in_particular_is_known_by_address() -> None:
    """Who has no name spends the budget of the client's address."""
    made = limiter()
    answers = [await made.spend(asked(ip=ip), ANONYMOUS, (ONCE,)) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
    assert [each is None for each in answers] == [True, True, False]


async def test_the_same_budget_whatever_the_path() -> None:
    """A route's parameters and query are no way to a fresh budget."""
    made = limiter()
    targets = ("/ai/chat", "/ai/chat?x=1", "/ai/chat?x=2")
    answers = [await made.spend(asked(resource=Entity("route", each)), ALICE, (ONCE,)) for each in targets]
    assert [each is None for each in answers] == [True, False, False]


async def test_a_gateways_retry_counts_once_within_the_window() -> None:
    """The same request ID of a gateway that makes it is the same request: for a while, and for that subject."""
    watch, twice = Watch(), Limit("ai:chat", 2, 3600)
    made = limiter(watch)
    request = asked(request_id="r-1")
    assert [await made.spend(request, ALICE, (twice,)) for _ in range(4)] == [None] * 4
    assert await made.spend(asked(request_id="r-2"), ALICE, (twice,)) is None
    assert await made.spend(asked(request_id="r-3"), ALICE, (twice,)) is not None
    assert await made.spend(request, ALICE, (twice,)) is None
    watch.now = 10 * SECOND
    assert await made.spend(request, ALICE, (twice,)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"caller": Caller("gateway")},
        {"request_id": None},
        {"request_id": "r-2"},
        {"action": Action("PUT")},
        {"resource": Entity("route", "/ai/voice")},
        {"caller": Caller("another", sets_request_id=True)},
    ],
    ids=["a client's ID", "no ID", "another ID", "another method", "another target", "another gateway"],
)
async def test_anything_else_is_another_request(change: dict[str, object]) -> None:
    """A request ID that a client may choose never spares it anything, nor does one for something else."""
    made = limiter()
    assert await made.spend(asked(request_id="r-1"), ALICE, (ONCE,)) is None
    assert await made.spend(asked(**({"request_id": "r-1"} | change)), ALICE, (ONCE,)) is not None


async def test_a_client_that_repeats_its_request_id_pays_each_time() -> None:
    """Where the gateway passes the client's own X-Request-ID on, it is worth nothing."""
    made = limiter()
    request = asked(request_id="r-1", caller=Caller("gateway"))
    assert await made.spend(request, ALICE, (ONCE,)) is None
    assert await made.spend(request, ALICE, (ONCE,)) is not None


async def test_the_items_of_a_batch_are_uses_of_their_own() -> None:
    """Two questions of one batch have one request ID and are not a retry of each other; the batch's retry is one."""
    made, twice = limiter(), Limit("ai:chat", 2, 3600)
    request = asked(request_id="r-1")
    answers = [await made.spend(request, ALICE, (twice,), position) for position in (0, 1, 2, 0, 1, 2)]
    assert [each is None for each in answers] == [True, True, False, True, True, False]


def test_the_door_counts_addresses() -> None:
    """So many requests of one address, whoever they are said to be of; without an address there is no counting."""
    watch = Watch()
    made = limiter(watch, Limit("", 2, 60))
    answers = [made.admit(ASKED), made.admit(ASKED), made.admit(ASKED)]
    assert answers == [None, None, Over("rate_limited", 30)]
    assert made.admit(asked(ip="192.0.2.2")) is None
    assert [made.admit(asked(ip=None)) for _ in range(5)] == [None] * 5
    assert made.admit(asked(caller=Caller("observer", observes=True))) is None
    watch.now = 30 * SECOND
    assert made.admit(ASKED) is None


def test_a_gateways_retry_passes_the_door_once() -> None:
    """The same request ID of a gateway that makes it is one request at the door."""
    made = limiter(address=Limit("", 1, 60))
    assert [made.admit(asked(request_id="r-1")) for _ in range(4)] == [None] * 4
    assert made.admit(asked(request_id="r-2")) is not None


def test_no_door_no_counting() -> None:
    """Unless it is configured, addresses are nobody's business."""
    made = limiter()
    assert [made.admit(ASKED) for _ in range(1000)] == [None] * 1000
    assert made.live == 0


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002"),
        ("2001:DB8:1:2::9", "20010db800010002"),
        ("[2001:db8:1:2::9]", "20010db800010002"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("2001:db8:1:3::9", "20010db800010003"),
        ("unknown", "unknown"),
        ("1:2", "1:2"),
    ],
)
def test_one_client_has_one_address(address: str, client: str) -> None:
    """IPv6 counts by /64, IPv4 in IPv6's clothes as IPv4, and what is no address as it stands."""
    assert client_of(address) == client


def test_retries_are_bounded() -> None:
    """As many as there is room for, the newest of them; and nothing older than the window."""
    retries = Retries(10 * SECOND, capacity=100)
    for key in range(1_000):
        retries.remember(key, 0)
    assert (len(retries), retries.seen(900, 0), retries.seen(899, 0)) == (100, True, False)
    retries.remember(1_000, 10 * SECOND)
    assert len(retries) == 1


def test_without_a_window_every_try_counts() -> None:
    """`retry_seconds = 0`."""
    made = Retries(0)
    made.remember(1, 5)
    assert made.seen(1, 5) is False
