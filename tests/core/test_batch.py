"""decide_all(): many questions that are one, and each answered as if it were alone."""

import msgspec
import pytest

from authz.core import (
    AccessRequest,
    Action,
    Asked,
    AuditUnavailableError,
    BadRequestError,
    Caller,
    Catalogue,
    Decision,
    Encoded,
    Entity,
    PolicyDecision,
    Until,
)
from tests.fakes import FakePolicy, House

ALLOW = PolicyDecision(allow=True, reason="scope_granted", scopes=("doc:read",))
DENY = PolicyDecision(allow=False, reason="scope_missing", scopes=("doc:read",), missing=("doc:read",))
CALLER = Caller("edge", trusted_to_assert=True)


def by_id(check: bytes) -> PolicyDecision:
    """Allowed is what is called so."""
    return ALLOW if msgspec.json.decode(check)["resource"]["id"].startswith("yes") else DENY


def asked(resource: str, subject: Entity | None = None) -> AccessRequest:
    return AccessRequest(
        caller=CALLER, dialect="authzen", subject=subject or Entity("user", "alice"), action=Action("read"),
        resource=Entity("doc", resource),
    )  # fmt: skip


@pytest.fixture
def house() -> House:
    return House(FakePolicy(by_id, Catalogue(scopes=("doc:read",), roles=())))


def outcomes(answers: list[Decision | BadRequestError]) -> list[object]:
    return [each.allow if isinstance(each, Decision) else str(each) for each in answers]


def written(house: House) -> list[dict[str, object]]:
    """The bodies of a batch's records."""
    return [msgspec.json.decode(event.body.text) for event in house.ledger.events if isinstance(event.body, Encoded)]


async def test_a_batch_is_one_group_of_records(house: House) -> None:
    """All answers are in the ledger in one commit, each under its own id and that of the batch."""
    batch = await house.decisions.decide_all([asked("yes1"), asked("no"), asked("yes2")])

    assert outcomes(batch.answers) == [True, False, True]
    assert house.ledger.groups == [3]
    assert [event.id for event in house.ledger.events] == [f"{batch.id}.{n}" for n in range(3)]
    assert [each["batch"] for each in written(house)] == [batch.id] * 3
    assert len(house.meter.counted) == 3
    assert house.policies.taken == 1


async def test_each_is_recorded_as_it_would_be_alone(house: House) -> None:
    """The record of an item says what a single decision's record says, and the batch beside it."""
    questions = [asked("yes1"), asked("no"), asked("yes2", Entity("user", "bob", {"roles": ["reader"]}))]
    await house.decisions.decide_all(questions)
    together = [
        msgspec.json.decode(event.body.text) for event in house.ledger.events if isinstance(event.body, Encoded)
    ]
    house.ledger.events.clear()
    for each in questions:
        await house.decisions.decide(each)
    alone = [msgspec.json.decode(msgspec.json.encode(event.body)) for event in house.ledger.events]

    assert [{name: value for name, value in each.items() if name != "batch"} for each in together] == alone


@pytest.mark.parametrize(
    ("until", "answered"),
    [
        (None, [True, "bad", False, True]),
        (Until(allow=False), [True, "bad"]),
        (Until(allow=True), [True]),
        (Until(allow=True, times=2), [True, "bad", False, True]),
        (Until(allow=False, times=2), [True, "bad", False]),
    ],
)
async def test_what_comes_after_the_stop_never_was(house: House, until: Until | None, answered: list[object]) -> None:
    """A batch that stops answers, records and counts nothing behind that; an error counts as a denial."""
    questions: list[Asked] = [asked("yes1"), BadRequestError("bad"), asked("no"), asked("yes2")]
    batch = await house.decisions.decide_all(questions, until=until)

    assert outcomes(batch.answers) == answered
    decided = [each for each in answered if isinstance(each, bool)]
    assert len(house.ledger.events) == len(house.meter.counted) == len(decided)


async def test_what_cannot_be_recorded_does_not_leave_the_house(house: House) -> None:
    """When the ledger fails none of the answers is an allow: all are "could not decide"."""
    house.ledger.failure = AuditUnavailableError("disk")
    batch = await house.decisions.decide_all([asked("yes1"), asked("no")])

    assert [(each.allow, each.reason) for each in batch.answers if isinstance(each, Decision)] == [
        (False, "audit_unavailable"),
        (False, "audit_unavailable"),
    ]


async def test_a_subject_that_cannot_be_read_is_its_own_error(house: House) -> None:
    """One item's roles that are no list do not touch its neighbours."""
    wrong = Entity("user", "mallory", {"roles": "admin"})
    batch = await house.decisions.decide_all([asked("yes1"), asked("yes2", wrong), asked("yes3")])
    assert outcomes(batch.answers) == [True, "subject.properties.roles: must be an array of strings", True]


async def test_nothing_asked_is_nothing_answered(house: House) -> None:
    """An empty batch is an empty answer."""
    assert (await house.decisions.decide_all([])).answers == []
    assert house.ledger.events == []
