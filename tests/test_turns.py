"""Questions of one turn of the event loop: answered as one, and each as if it were alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from authz.audit import InvalidEventError
from authz.core import (
    ANONYMOUS,
    AccessRequest,
    Action,
    Answer,
    AuditUnavailableError,
    Caller,
    Catalogue,
    Decision,
    DecisionBody,
    DecisionPoint,
    Entity,
    Event,
    Limit,
    Over,
    OverloadedError,
    Place,
    Policy,
    PolicyDecision,
    Ready,
)
from authz.core.contract import SUPERSEDED
from authz.pdp.turns import LoopTurns
from tests.fakes import FakePolicy, FakePseudonyms, House, pseudonym

READ = PolicyDecision(allow=True, reason="scope_granted", scopes=("doc:read",))
SELDOM = PolicyDecision(allow=True, reason="scope_granted", scopes=("doc:read",), limits=(Limit("doc:read", 1, 60),))
DENIED = PolicyDecision(allow=False, reason="scope_missing", scopes=("doc:read",), missing=("doc:read",))
NAMED = {"read": READ, "seldom": SELDOM, "superseded": SUPERSEDED}


def by_name(check: bytes) -> PolicyDecision:
    """What a resource is called says what is said of it: `read-7` may be read."""
    return NAMED.get(msgspec.json.decode(check)["resource"]["id"].partition("-")[0], DENIED)


@pytest.fixture
def house() -> House:
    return House(FakePolicy(by_name, Catalogue(scopes=("doc:read",), roles=())))


@pytest.fixture
async def decisions(house: House) -> AsyncIterator[DecisionPoint]:
    """Decides while somebody else is being answered: whoever asks now is answered with others of its turn."""
    turns, gone = LoopTurns(), asyncio.Event()

    async def held(_: Policy, ready: Sequence[Ready]) -> Sequence[Answer]:
        await gone.wait()
        return [READ for _ in ready]

    other = Ready(asked("other"), ANONYMOUS, None, Place(), FakePseudonyms(), b"{}", 0.0)
    answering = asyncio.create_task(turns.share(house.policy, other, held))
    await asyncio.sleep(0)
    yield msgspec.structs.replace(house.decisions, turns=turns)
    gone.set()
    assert await answering is READ


def asked(name: str) -> AccessRequest:
    """A question of somebody of their own about a document."""
    return AccessRequest(
        caller=Caller("edge", trusted_to_assert=True), dialect="authzen", subject=Entity("user", f"owner of {name}"),
        action=Action("read"), resource=Entity("doc", name),
    )  # fmt: skip


async def ask(decisions: DecisionPoint, *names: str) -> list[Decision | BaseException]:
    return await asyncio.gather(*(decisions.decide(asked(name)) for name in names), return_exceptions=True)


def told(answers: list[Decision | BaseException]) -> list[tuple[bool, str] | type[BaseException]]:
    return [(each.allow, each.reason) if isinstance(each, Decision) else type(each) for each in answers]


def subjects(events: list[Event]) -> list[str | None]:
    return [event.body.subject for event in events if isinstance(event.body, DecisionBody)]


async def test_each_gets_its_own_answer_and_its_own_record(house: House, decisions: DecisionPoint) -> None:
    """A hundred questions of one turn: an answer, a record and a count for each, in two commits of 64 and 36."""
    names = [f"{'read' if n % 3 else 'other'}-{n}" for n in range(100)]

    answers = await ask(decisions, *names)

    assert told(answers) == [(True, "scope_granted") if n % 3 else (False, "scope_missing") for n in range(100)]
    assert house.ledger.groups == [64, 36]
    assert [event.id for event in house.ledger.events] == [each.id for each in answers if isinstance(each, Decision)]
    assert subjects(house.ledger.events) == [pseudonym(f"owner of {name}") for name in names]
    assert [(request.resource.id, decision) for request, decision, _ in house.meter.counted] == list(
        zip(names, answers, strict=True)
    )


async def test_a_lone_question_waits_for_one_turn_and_no_more(house: House) -> None:
    """Where nobody else asks in this turn of the event loop it is answered in the next, and so is the one after it."""
    decisions = msgspec.structs.replace(house.decisions, turns=LoopTurns())
    for name in ("read-1", "other-2"):
        answering = decisions.decide(asked(name))
        assert answering.send(None) is None  # the one turn
        with pytest.raises(StopIteration) as answered:
            answering.send(None)
        assert answered.value.value.allow is name.startswith("read")
    assert house.ledger.groups == [1, 1]


async def test_the_first_of_a_turn_is_answered_with_the_others(house: House) -> None:
    """Nobody is being answered, then ten ask in one turn: the first of them pays for no commit of its own."""
    decisions = msgspec.structs.replace(house.decisions, turns=LoopTurns())

    answers = await ask(decisions, *(f"read-{n}" for n in range(10)))

    assert told(answers) == [(True, "scope_granted")] * 10
    assert house.ledger.groups == [10]


async def test_what_may_be_done_only_so_often_is_spent_alone(house: House, decisions: DecisionPoint) -> None:
    """A limited allow asks the limiter by itself; its neighbours are recorded without waiting for that."""
    house.limiter.over = Over("rate_limited", 7, SELDOM.limits[0])

    answers = await ask(decisions, "read-1", "seldom-2", "other-3")

    assert told(answers) == [(True, "scope_granted"), (False, "rate_limited"), (False, "scope_missing")]
    assert house.limiter.spent == [("owner of seldom-2", SELDOM.limits, None)]
    assert house.ledger.groups == [2]
    assert subjects(house.ledger.events) == [pseudonym(f"owner of {n}") for n in ("read-1", "other-3", "seldom-2")]


async def test_what_another_revision_has_to_answer_is_asked_again(house: House, decisions: DecisionPoint) -> None:
    """The question of a policy that was superseded goes to the one in force; the others have their answers."""
    following = FakePolicy(READ, house.policy.catalogue, "fedcba9876543210")

    def superseded(check: bytes) -> PolicyDecision:
        house.policies.in_force = following
        return by_name(check)

    house.policy.answer = superseded
    answers = await ask(decisions, "superseded-1", "other-2")

    assert told(answers) == [(True, "scope_granted"), (False, "scope_missing")]
    assert [each.revision for each in answers if isinstance(each, Decision)] == [
        following.revision,
        house.policy.revision,
    ]
    assert len(house.ledger.events) == 2


async def test_nobody_is_answered_before_it_is_durable(house: House, decisions: DecisionPoint) -> None:
    """While the ledger holds the records up, no question of the turn is answered."""
    house.ledger.durable.clear()
    asking = [asyncio.create_task(decisions.decide(asked(f"read-{n}"))) for n in range(3)]
    done, waiting = await asyncio.wait(asking, timeout=0.05)
    assert (done, len(waiting)) == (set(), 3)
    house.ledger.durable.set()
    assert told(await asyncio.gather(*asking)) == [(True, "scope_granted")] * 3


async def test_what_cannot_be_recorded_is_no_allow_for_anybody(house: House, decisions: DecisionPoint) -> None:
    """A ledger that fails answers all of them with the reason, and each is counted as that."""
    house.ledger.failure = AuditUnavailableError("no space left")

    answers = await ask(decisions, "read-1", "other-2")

    assert told(answers) == [(False, "audit_unavailable")] * 2
    assert [decision.reason for _, decision, _ in house.meter.counted] == ["audit_unavailable"] * 2


async def test_who_cannot_be_recorded_in_company_does_not_spoil_it(house: House, decisions: DecisionPoint) -> None:
    """An event that the ledger refuses fails its own question; the others are recorded by themselves."""
    ledger, record = house.ledger, house.ledger.record
    refused = pseudonym("owner of read-2")

    async def record_all(events: list[Event]) -> None:
        raise InvalidEventError("one of them is no event")

    async def record_one(event: Event) -> None:
        if subjects([event]) == [refused]:
            raise InvalidEventError("it is no event")
        await record(event)

    ledger.record_all, ledger.record = record_all, record_one  # type: ignore[assignment,method-assign]
    answers = await ask(decisions, "read-1", "read-2", "other-3")

    assert told(answers) == [(True, "scope_granted"), InvalidEventError, (False, "scope_missing")]
    assert subjects(ledger.events) == [pseudonym("owner of read-1"), pseudonym("owner of other-3")]


async def test_what_there_is_room_for_is_recorded(house: House, decisions: DecisionPoint) -> None:
    """A queue that is too full for all of them takes those it has room for."""
    ledger, record = house.ledger, house.ledger.record

    async def record_all(events: list[Event]) -> None:
        raise OverloadedError("there is no room for so many")

    async def record_one(event: Event) -> None:
        if len(ledger.events) == 2:
            raise OverloadedError("it is full")
        await record(event)

    ledger.record_all, ledger.record = record_all, record_one  # type: ignore[assignment,method-assign]
    answers = await ask(decisions, "read-1", "other-2", "read-3")

    assert told(answers) == [(True, "scope_granted"), (False, "scope_missing"), (False, "overloaded")]
    assert subjects(ledger.events) == [pseudonym("owner of read-1"), pseudonym("owner of other-2")]


async def test_a_fault_reaches_everybody_who_waits(house: House, decisions: DecisionPoint) -> None:
    """What nobody expected is an exception for each of them, and never an answer."""

    def broken(check: bytes) -> PolicyDecision:
        raise RuntimeError("a bug")

    house.policy.answer = broken
    assert told(await ask(decisions, "read-1", "read-2")) == [RuntimeError, RuntimeError]
    assert house.ledger.events == []


async def test_who_goes_away_takes_nobody_along(house: House, decisions: DecisionPoint) -> None:
    """A question that nobody waits for any more is recorded all the same, and the others are answered."""
    house.ledger.durable.clear()
    leaving, staying = (asyncio.create_task(decisions.decide(asked(name))) for name in ("read-1", "read-2"))
    await asyncio.sleep(0.01)
    leaving.cancel()
    house.ledger.durable.set()

    assert (await staying).allow
    assert leaving.cancelled()
    assert subjects(house.ledger.events) == [pseudonym("owner of read-1"), pseudonym("owner of read-2")]


async def test_nobody_waits_for_work_that_was_cancelled(house: House, decisions: DecisionPoint) -> None:
    """When the loop is torn down, who asked is cancelled too and does not wait for ever."""
    house.ledger.durable.clear()
    before = asyncio.all_tasks()
    asking = asyncio.create_task(decisions.decide(asked("read-1")))
    await asyncio.sleep(0.01)
    (working,) = asyncio.all_tasks() - before - {asking}
    working.cancel()
    done, _ = await asyncio.wait([asking], timeout=5)
    assert done == {asking}
    assert asking.cancelled()


async def test_acts_of_operators_are_decided_alone(house: House, decisions: DecisionPoint) -> None:
    """A decision that is recorded under another type than its own does not share."""
    await asyncio.gather(decisions.decide(asked("read-1"), audit_as="admin.access"), decisions.decide(asked("read-2")))
    assert sorted(event.type for event in house.ledger.events) == ["admin.access", "auth.scope_granted"]
    assert house.ledger.groups == [1]
