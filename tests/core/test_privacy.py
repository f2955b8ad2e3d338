"""What of a question is written down: pseudonyms that take more than a key, and fields that may be made coarser."""

from typing import Any

import pytest

from authz.core import (
    AccessRequest,
    Action,
    AuditUnavailableError,
    BearerToken,
    Caller,
    Catalogue,
    CatalogueRoute,
    DecisionBody,
    Entity,
    Fields,
    Identified,
    OverloadedError,
    Parameter,
    PolicyDecision,
    Pseudonyms,
    Subject,
    coarse_address,
    coarse_agent,
)
from tests.fakes import FakePolicy, House

CATALOGUE = Catalogue(
    scopes=("memory:read",),
    roles=("user_basic",),
    routes=(
        CatalogueRoute("GET", "/users/{id}", all_of=("memory:read",)),
        CatalogueRoute(
            "GET", "/files/{kind}/{rest...}", params={"kind": Parameter("clear"), "rest": Parameter("drop")}
        ),
    ),
)
ALLOW = PolicyDecision(allow=True, reason="scope_granted", scopes=("memory:read",))
ALICE = Subject(type="user", id="alice", source="token", pseudonym="not to be used", session_id="s-1")


class Numbered:
    """Implements core.Pseudonyms."""

    def pseudonym(self, value: str) -> str:
        return f"salted:{value}"


class FakeIdentities:
    """Implements core.Identities: remembers what it was asked for, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[Identified] = []
        self.failure = failure

    async def disguise(self, identified: Identified) -> Pseudonyms:
        self.asked.append(identified)
        if self.failure is not None:
            raise self.failure
        return Numbered()


def house(identities: FakeIdentities | None = None, fields: Fields | None = None) -> House:
    made = House(FakePolicy(ALLOW, CATALOGUE), {"good.token": ALICE})
    parts: dict[str, Any] = {"identities": identities} | ({"fields": fields} if fields else {})
    made.decisions = type(made.decisions)(
        **{name: getattr(made.decisions, name) for name in made.decisions.__struct_fields__} | parts
    )
    return made


def asked(target: str, **members: Any) -> AccessRequest:
    question: dict[str, Any] = {
        "caller": Caller("gateway"),
        "dialect": "envoy",
        "action": Action("GET"),
        "resource": Entity("route", target),
        "token": BearerToken("good.token"),
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
    }
    return AccessRequest(**question | members)


def body(of: House) -> DecisionBody:
    (event,) = of.ledger.events
    assert isinstance(event.body, DecisionBody)
    return event.body


async def test_record_uses_the_pseudonyms_of_its_identities() -> None:
    """Subject, session and parameters of one record have the pseudonyms that its identities gave, all of them."""
    identities = FakeIdentities()
    fakes = house(identities)
    decision = await fakes.decisions.decide(asked("/users/alice"))
    assert identities.asked == [Identified("alice", "s-1", ("alice",))]
    recorded = body(fakes)
    assert (recorded.subject, recorded.session_id, recorded.params) == (
        "salted:alice",
        "salted:s-1",
        {"id": "salted:alice"},
    )
    assert decision.subject.pseudonym == "salted:alice"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (asked("/users/bob", token=None), Identified(None, None, ("bob",))),
        (asked("/files/letters/a/b"), Identified("alice", "s-1", ())),
        (asked("/nowhere/bob"), Identified("alice", "s-1", ())),
        (asked("", resource=Entity("person", "bob")), Identified("alice", "s-1", ("bob",))),
        (asked("", resource=Entity("scope", "memory:read")), Identified("alice", "s-1", ())),
        (asked("", resource=Entity("scope", "bob")), Identified("alice", "s-1", ("bob",))),
    ],
)
async def test_identities_are_asked_for_what_names_somebody(question: AccessRequest, expected: Identified) -> None:
    """Values of the catalogue, cleared or dropped parameters and unknown paths are no identities."""
    identities = FakeIdentities()
    await house(identities).decisions.decide(question)
    assert identities.asked == [expected]


@pytest.mark.parametrize("failure", [AuditUnavailableError("disk"), OverloadedError("queue")])
async def test_no_answer_for_whom_cannot_be_named_safely(failure: AuditUnavailableError | OverloadedError) -> None:
    """When identities cannot be kept the policy is not asked, and the recorded answer is that nothing was decided."""
    fakes = house(FakeIdentities(failure))
    decision = await fakes.decisions.decide(asked("/users/alice"))
    assert (decision.allow, decision.reason, body(fakes).reason) == (False, failure.code, failure.code)
    assert fakes.policy.asked == []


async def test_fields_are_treated_as_chosen() -> None:
    """Address, agent and session are coarsened or dropped, and every parameter that is written at all is hashed."""
    fields = Fields(
        ip=coarse_address,
        user_agent=coarse_agent,
        session_id=False,
        param=lambda value, treatment, pseudonyms: None if treatment == "drop" else pseudonyms.pseudonym(value),
    )
    fakes = house(FakeIdentities(), fields)
    await fakes.decisions.decide(asked("/files/letters/a"))
    recorded = body(fakes)
    assert (recorded.ip, recorded.user_agent, recorded.session_id, recorded.params) == (
        "203.0.113.0/24",
        "Mozilla Gecko Firefox",
        None,
        {"kind": "salted:letters"},
    )


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        (" 203.0.113.255 ", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("203.0.113.7:4711", None),
        ("alice", None),
        ("", None),
        (None, None),
    ],
)
def test_addresses_become_networks(address: str | None, network: str | None) -> None:
    """An address is written as its /24 or /48; what is no address is not written at all."""
    assert coarse_address(address) == network


@pytest.mark.parametrize(
    ("agent", "coarse"),
    [
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (Macintosh; alice's Mac) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
         "Mozilla AppleWebKit Version Safari"),
        ("app/1 (device 4f1c", "app"),
        ("alice@example.com/1", None),
        ("", None),
        (None, None),
    ],
)  # fmt: skip
def test_agents_become_product_names(agent: str | None, coarse: str | None) -> None:
    """Versions, comments and whatever is no plain name do not get through."""
    assert coarse_agent(agent) == coarse
