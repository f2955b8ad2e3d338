"""decide(): who, where, what the policy says, and a durable record before anyone hears of it."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.core import (
    ANONYMOUS,
    ERROR,
    MAX_ANSWER_BYTES,
    REASONS,
    SUPERSEDED,
    UNAVAILABLE,
    AccessRequest,
    Action,
    AuditUnavailableError,
    BadRequestError,
    BearerToken,
    Caller,
    Catalogue,
    CatalogueRoute,
    Decision,
    DecisionBody,
    Entity,
    Event,
    Limit,
    Over,
    OverloadedError,
    Parameter,
    PolicyDecision,
    ShownClaims,
    Subject,
    TokenRefusal,
    Until,
    UnverifiedClaims,
)
from tests.fakes import NOW, FakePolicy, House, pseudonym
from tests.properties import many

GATEWAY = Caller("gateway")
TRUSTED = Caller("backend", trusted_to_assert=True)
CATALOGUE = Catalogue(
    scopes=("memory:read", "admin:audit:read"),
    roles=("user_basic",),
    routes=(
        CatalogueRoute("GET", "/health", public=True),
        CatalogueRoute("GET", "/memory/{id}", all_of=("memory:read",), event="memory.accessed"),
        CatalogueRoute("POST", "/memory/search", all_of=("memory:search",)),
        CatalogueRoute(
            "GET",
            "/files/{owner}/{kind}/{rest...}",
            params={"kind": Parameter("clear"), "rest": Parameter("drop")},
        ),
    ),
)
ALLOW = PolicyDecision(
    allow=True,
    reason="scope_granted",
    scopes=("memory:read",),
    headers={"X-Tenant": "acme"},
    granted_by={"memory:read": ("user_basic",)},
)
DENY = PolicyDecision(
    allow=False, reason="scope_missing", scopes=("memory:read", "memory:write"), missing=("memory:write",)
)
PUBLIC = PolicyDecision(allow=True, reason="public_route", scopes=())
UNMATCHED = PolicyDecision(allow=False, reason="unmatched_route", scopes=())
ALICE = Subject(
    type="user",
    id="alice",
    source="token",
    pseudonym=pseudonym("alice"),
    roles=("user_basic",),
    scopes=("memory:read",),
    issuer="https://idp.test",
    properties={"claims": {"acr": "2"}},
    session_id="s-1",
)
EXPIRED = TokenRefusal("token_expired", UnverifiedClaims(iss="https://idp.test", exp=1, alg="EdDSA"))
TOKENS: dict[str, Subject | TokenRefusal] = {
    "good.token": ALICE,
    "old.token": EXPIRED,
    "unknown.keys": TokenRefusal("keys_unavailable"),
}


def house(answer: PolicyDecision = ALLOW) -> House:
    return House(FakePolicy(answer, CATALOGUE), TOKENS)


def asked(target: str = "/memory/42", *, token: str | None = None, **members: Any) -> AccessRequest:
    """A gateway's question about a route."""
    question: dict[str, Any] = {
        "caller": GATEWAY,
        "dialect": "envoy",
        "action": Action(members.pop("method", "GET")),
        "resource": Entity("route", target, members.pop("resource_properties", {})),
        "token": BearerToken(token) if token is not None else None,
    }
    return AccessRequest(**question | members)


def told(of: House) -> dict[str, Any]:
    """The one input document that the policy was given."""
    (check,) = of.policy.asked
    document: dict[str, Any] = json.loads(check)
    return document


def recorded(of: House) -> DecisionBody:
    """The body of the one record."""
    (event,) = of.ledger.events
    assert isinstance(event.body, DecisionBody)
    return event.body


def verdict(decision: Decision) -> tuple[bool, str]:
    return decision.allow, decision.reason


async def test_a_revoked_subject_does_not_come_back_on_a_callers_word() -> None:
    """Who is revoked is refused where a trusted caller states the subject, too."""
    fakes = house()
    fakes.verifier.revoked.add("alice")
    stated = Entity("user", "alice", {"roles": ["user_basic"]})
    decision = await fakes.decisions.decide(asked(caller=TRUSTED, subject=stated))
    assert verdict(decision) == (False, "token_revoked")


# How often


LIMITED = msgspec.structs.replace(ALLOW, limits=(Limit("memory:read", 10, 60, 2),))
OVER = Over("rate_limited", 6, Limit("memory:read", 10, 60, 2))


async def test_an_allow_with_limits_is_spent_and_stays_an_allow() -> None:
    """What the policy allows under limits is spent once, by the subject, and then allowed."""
    fakes = house(LIMITED)
    decision = await fakes.decisions.decide(asked(token="good.token"))
    assert verdict(decision) == (True, "scope_granted")
    assert fakes.limiter.spent == [("alice", LIMITED.limits, None)]


@pytest.mark.parametrize("over", [OVER, Over("limits_unavailable")])
async def test_what_is_spent_is_a_recorded_refusal(over: Over) -> None:
    """Over the limit, or where nobody can tell, there is no allow; the record says which limit and until when."""
    fakes = house(LIMITED)
    fakes.limiter.over = over
    decision = await fakes.decisions.decide(asked(token="good.token"))
    body = recorded(fakes)
    assert (verdict(decision), decision.over) == ((False, over.reason), over)
    assert (decision.headers, decision.granted_by, decision.scopes) == ({}, {}, ("memory:read",))
    assert (body.reason, body.limit, body.retry_after_seconds) == (over.reason, over.limit, over.retry_after_seconds)
    assert fakes.ledger.events[0].type == ("auth.rate_limited" if over is OVER else "auth.error")


@pytest.mark.parametrize("answer", [ALLOW, msgspec.structs.replace(DENY, limits=LIMITED.limits)])
async def test_without_limits_or_an_allow_nothing_is_spent(answer: PolicyDecision) -> None:
    """A denial spends nothing, and an allow without limits has nothing to spend."""
    fakes = house(answer)
    await fakes.decisions.decide(asked(token="good.token"))
    assert fakes.limiter.spent == []


@pytest.mark.parametrize("token", ["old.token", None])
async def test_who_is_not_known_spends_nothing_of_what_it_does_not_get(token: str | None) -> None:
    """Without a good token there is no allow, so nothing is spent."""
    fakes = house(LIMITED)
    assert (await fakes.decisions.decide(asked(token=token))).allow is False
    assert fakes.limiter.spent == []


async def test_whoever_asked_too_often_is_not_asked_who_they_are() -> None:
    """An address over its limit is a recorded refusal before token, policy or budgets are looked at."""
    fakes = house()
    fakes.limiter.door = Over("rate_limited", 1)
    decision = await fakes.decisions.decide(asked(token="good.token", ip="192.0.2.1"))
    assert (verdict(decision), decision.over) == ((False, "rate_limited"), Over("rate_limited", 1))
    assert (fakes.verifier.asked, fakes.policy.asked, fakes.limiter.spent) == ([], [], [])
    assert (recorded(fakes).route, recorded(fakes).subject, recorded(fakes).ip) == ("/memory/{id}", None, "192.0.2.1")


async def test_no_allow_after_waiting_for_the_limits_too_long() -> None:
    """When the caller has stopped waiting while the limits were asked, the answer is `overloaded`."""
    decision = await house(LIMITED).decisions.decide(asked(token="good.token", within_seconds=0.25))
    assert verdict(decision) == (False, "overloaded")


async def test_a_batch_spends_for_what_it_answers_and_no_more() -> None:
    """Each item spends for itself; where the batch stops, what comes after is neither answered nor spent."""
    fakes = house(LIMITED)
    many = [asked(token="good.token") for _ in range(4)]
    batch = await fakes.decisions.decide_all(many, until=Until(allow=True, times=2))
    assert len(batch.answers) == 2
    assert fakes.limiter.spent == [("alice", LIMITED.limits, 0), ("alice", LIMITED.limits, 1)]

    fakes.limiter.over = OVER
    batch = await fakes.decisions.decide_all(many)
    assert [(each.allow, each.over) for each in batch.answers if isinstance(each, Decision)] == [(False, OVER)] * 4


async def test_who_only_looks_spends_nothing() -> None:
    """Where nobody acts on an allow, as in a search, no budget is touched."""
    fakes = house(LIMITED)
    batch = await fakes.decisions.decide_all([asked(token="good.token")] * 2, spends=False)
    assert [each.allow for each in batch.answers if isinstance(each, Decision)] == [True, True]
    assert fakes.limiter.spent == []


async def test_a_batch_is_one_request_at_the_door() -> None:
    """An address over its limit has every item of its batch refused, and nothing is verified."""
    fakes = house()
    fakes.limiter.door = Over("rate_limited", 1)
    batch = await fakes.decisions.decide_all([asked(token="good.token")] * 3)
    assert [each.reason for each in batch.answers if isinstance(each, Decision)] == ["rate_limited"] * 3
    assert (fakes.verifier.asked, fakes.policy.asked) == ([], [])


# When


@pytest.mark.parametrize(
    ("within", "expected"),
    [(None, (True, "scope_granted")), (0.25, (True, "scope_granted")), (0.2, (False, "overloaded"))],
)
async def test_nothing_is_evaluated_that_nobody_waits_for(within: float | None, expected: tuple[bool, str]) -> None:
    """When the caller has stopped waiting, the recorded answer is `overloaded`; the policy is not asked."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(token="good.token", within_seconds=within))
    assert (verdict(decision), recorded(fakes).reason) == (expected, expected[1])
    assert len(fakes.policy.asked) == int(decision.allow)


async def test_what_is_refused_anyway_is_refused_late_too() -> None:
    """An ambiguous path is ambiguous however late it is."""
    decision = await house().decisions.decide(asked("//", within_seconds=0.0))
    assert verdict(decision) == (False, "ambiguous_path")


# Who


async def test_a_verified_token_says_who_asks() -> None:
    """The policy is told the token's subject, and the answer is the policy's."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(token="good.token", ip="192.0.2.1", host="API.test:443"))
    assert decision == Decision(
        id="id-1",
        allow=True,
        reason="scope_granted",
        revision="0123456789abcdef",
        subject=ALICE,
        scopes=("memory:read",),
        granted_by={"memory:read": ("user_basic",)},
        headers={"X-Tenant": "acme"},
        route="/memory/{id}",
    )
    assert told(fakes) == {
        "subject": {
            "type": "user",
            "id": "alice",
            "roles": ["user_basic"],
            "scopes": ["memory:read"],
            "issuer": "https://idp.test",
            "properties": {"claims": {"acr": "2"}, "scope_mode": "restrict"},
        },
        "action": {"name": "GET", "properties": {}},
        "resource": {
            "type": "route",
            "id": "/memory/42",
            "host": "api.test",
            "route": "/memory/{id}",
            "params": {"id": "42"},
        },
        "context": {"now": int(NOW), "ip": "192.0.2.1"},
    }


async def test_a_denial_hands_out_nothing() -> None:
    """A denial names what is missing; it carries no headers and no grants."""
    said = msgspec.structs.replace(DENY, headers={"X-Tenant": "acme"}, granted_by={"memory:read": ("user_basic",)})
    decision = await house(said).decisions.decide(asked(token="good.token"))
    assert decision == Decision(
        id="id-1",
        allow=False,
        reason="scope_missing",
        revision="0123456789abcdef",
        subject=ALICE,
        scopes=("memory:read", "memory:write"),
        missing=("memory:write",),
        route="/memory/{id}",
    )


async def test_an_allow_misses_nothing() -> None:
    """An allow never says that something is missing."""
    said = msgspec.structs.replace(ALLOW, missing=("memory:write",))
    assert (await house(said).decisions.decide(asked(token="good.token"))).missing == ()


@pytest.mark.parametrize("token", [None, "old.token", "unknown.keys", "garbage"])
async def test_a_public_route_needs_no_token(token: str | None) -> None:
    """A public route is for everyone: a token that is refused, or none, does not close it."""
    fakes = house(PUBLIC)
    decision = await fakes.decisions.decide(asked("/health", token=token))
    assert verdict(decision) == (True, "public_route")
    assert decision.subject == ANONYMOUS


@pytest.mark.parametrize("answer", [ALLOW, DENY, UNMATCHED, PolicyDecision(False, "policy_contract", ())])
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "token_missing"),
        ("old.token", "token_expired"),
        ("unknown.keys", "keys_unavailable"),
        ("garbage", "token_malformed"),
        ("", "token_malformed"),
    ],
)
async def test_a_refused_token_gets_nothing_but_public_routes(
    token: str | None, reason: str, answer: PolicyDecision
) -> None:
    """Whatever the policy says of nobody, it is the token's refusal that is answered, even to an allow."""
    fakes = house(answer)
    decision = await fakes.decisions.decide(asked(token=token))
    assert verdict(decision) == (False, reason)
    assert (decision.subject, decision.granted_by, decision.headers) == (ANONYMOUS, {}, {})


@pytest.mark.parametrize("answer", [ERROR, UNAVAILABLE])
@pytest.mark.parametrize("token", [None, "old.token", "good.token"])
async def test_a_policy_that_fails_is_said_to_fail(token: str | None, answer: PolicyDecision) -> None:
    """When the policy could not answer, that is the answer, whoever asked: it might have been a public route."""
    assert verdict(await house(answer).decisions.decide(asked(token=token))) == (False, answer.reason)


CLAIMED: dict[str, Any] = {
    "roles": ["admin"],
    "scopes": ["admin:write"],
    "scope_mode": "grant",
    "issuer": "https://evil.test",
    "token": "good.token",
    "claims": {"acr": "9"},
    "department": "care",
}
NOBODY = {"type": "anonymous", "id": "", "roles": [], "properties": {"scope_mode": "restrict"}}


async def test_an_untrusted_caller_asserts_nothing() -> None:
    """Without a token nothing that an untrusted caller says of the subject is used, not even its ID."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(subject=Entity("user", "alice", CLAIMED)))
    assert verdict(decision) == (False, "token_missing")
    assert told(fakes)["subject"] == NOBODY
    assert fakes.verifier.asked == []
    assert (recorded(fakes).subject, recorded(fakes).roles) == (None, ())


async def test_an_untrusted_caller_adds_nothing_to_a_token() -> None:
    """Beside a token, an untrusted caller's properties of the subject are dropped."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(token="good.token", subject=Entity("user", "alice", CLAIMED)))
    assert decision.subject == ALICE


async def test_a_trusted_caller_asserts_the_subject() -> None:
    """Without a token a trusted caller says who asks, with which roles and scopes."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(caller=TRUSTED, subject=Entity("service", "bob", CLAIMED)))
    assert decision.subject == Subject(
        type="service",
        id="bob",
        source="asserted",
        pseudonym=pseudonym("bob"),
        roles=("admin",),
        scopes=("admin:write",),
        scope_mode="grant",
        properties={"claims": {"acr": "9"}, "department": "care"},
    )
    assert told(fakes)["subject"] == {
        "type": "service",
        "id": "bob",
        "roles": ["admin"],
        "scopes": ["admin:write"],
        "properties": {"claims": {"acr": "9"}, "department": "care", "scope_mode": "grant"},
    }
    assert decision.allow


async def test_a_trusted_caller_may_assert_little() -> None:
    """What a trusted caller leaves out is not made up: no roles, scopes not stated, scopes restrict."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(caller=TRUSTED, subject=Entity("user", "")))
    assert decision.subject == Subject(type="user", id="", source="asserted", pseudonym=None)
    assert told(fakes)["subject"] == {"type": "user", "id": "", "roles": [], "properties": {"scope_mode": "restrict"}}


async def test_a_trusted_caller_that_names_nobody_has_no_token() -> None:
    """Trust without a subject is nobody."""
    assert verdict(await house().decisions.decide(asked(caller=TRUSTED))) == (False, "token_missing")


async def test_a_token_outweighs_a_trusted_caller() -> None:
    """Beside a token even a trusted caller adds properties only, never roles, scopes, issuer or claims."""
    fakes = house()
    decision = await fakes.decisions.decide(
        asked(token="good.token", caller=TRUSTED, subject=Entity("service", "alice", CLAIMED))
    )
    assert decision.subject == msgspec.structs.replace(ALICE, properties={"department": "care", "claims": {"acr": "2"}})


@pytest.mark.parametrize("verified", [{}, {"department": "hr"}, {"claims": {}}])
async def test_a_trusted_caller_overwrites_nothing_of_a_token(verified: dict[str, Any]) -> None:
    """What the token says stays as it is, and claims are the token's even when it has none."""
    fakes = house()
    fakes.verifier.known["good.token"] = msgspec.structs.replace(ALICE, properties=verified)
    decision = await fakes.decisions.decide(
        asked(token="good.token", caller=TRUSTED, subject=Entity("user", "alice", CLAIMED))
    )
    assert decision.subject.properties == {"department": "care"} | verified


async def test_a_refused_token_is_not_mended_by_a_trusted_caller() -> None:
    """When the token is refused, the caller's word does not take its place."""
    fakes = house()
    decision = await fakes.decisions.decide(
        asked(token="old.token", caller=TRUSTED, subject=Entity("user", "alice", CLAIMED))
    )
    assert verdict(decision) == (False, "token_expired")
    assert told(fakes)["subject"] == NOBODY


UNREADABLE = {
    "subject.properties.roles: must be an array of strings": {"roles": "admin"},
    "subject.properties.scopes: must be an array of strings": {"scopes": ["a", 1]},
    "subject.properties.scope_mode: must be restrict, grant or ignore": {"scope_mode": "all"},
    "subject.properties.roles: at most 256 of at most 128 characters each": {"roles": ["r"] * 257},
    "subject.properties.scopes: at most 256 of at most 128 characters each": {"scopes": ["s" * 129]},
    "subject.properties.roles: at most 8192 bytes as JSON": {"roles": ["\u0001" * 100] * 14},
}


@pytest.mark.parametrize(("message", "properties"), UNREADABLE.items(), ids=UNREADABLE.keys())
async def test_an_assertion_that_cannot_be_read_is_a_bad_request(message: str, properties: dict[str, Any]) -> None:
    """A trusted caller is told by field what cannot be read; nothing is evaluated, recorded or counted."""
    fakes = house()
    with pytest.raises(BadRequestError) as caught:
        await fakes.decisions.decide(asked(caller=TRUSTED, subject=Entity("user", "bob", properties)))
    assert str(caught.value) == message
    assert (fakes.policy.asked, fakes.ledger.asked, fakes.meter.counted) == ([], 0, [])


@pytest.mark.parametrize("caller", [GATEWAY, TRUSTED])
async def test_a_token_is_its_owners(caller: Caller) -> None:
    """A stated subject ID other than the token's is refused without asking the policy; the record is of the token."""
    fakes = house()
    decision = await fakes.decisions.decide(asked(token="good.token", caller=caller, subject=Entity("user", "bob")))
    assert verdict(decision) == (False, "subject_mismatch")
    assert (decision.subject, fakes.policy.asked) == (ALICE, [])
    assert recorded(fakes).subject == pseudonym("alice")


@pytest.mark.parametrize("stated", ["", "alice"])
async def test_a_stated_id_may_be_empty_or_the_tokens(stated: str) -> None:
    """A stated subject ID that is empty or the token's own changes nothing."""
    decision = await house().decisions.decide(asked(token="good.token", subject=Entity("user", stated)))
    assert verdict(decision) == (True, "scope_granted")


# Where


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/memory/../admin", None),
        ("//memory/42", None),
        ("*", None),
        ("", None),
        ("/memory/42", ""),
        ("/memory/42", "a b"),
    ],
)
@pytest.mark.parametrize("token", ["good.token", "old.token", None])
async def test_an_ambiguous_place_is_refused_unasked(target: str, host: str | None, token: str | None) -> None:
    """A path or host that can be read in two ways is refused before the policy, whatever the token."""
    fakes = house(PUBLIC)
    decision = await fakes.decisions.decide(asked(target, token=token, host=host))
    assert verdict(decision) == (False, "ambiguous_path")
    assert fakes.policy.asked == []


@pytest.mark.parametrize("host", [7, None, ["a"], "a b"])
async def test_a_stated_host_is_a_host(host: object) -> None:
    """`resource.properties.host` is the host when the gateway gave none; what is no host is ambiguous."""
    fakes = house()
    good = await fakes.decisions.decide(asked(token="good.token", resource_properties={"host": "API.test"}))
    assert good.allow
    assert told(fakes)["resource"]["host"] == "api.test"
    decision = await fakes.decisions.decide(asked(token="good.token", resource_properties={"host": host}))
    assert verdict(decision) == ((True, "scope_granted") if host is None else (False, "ambiguous_path"))


async def test_a_known_path_under_another_method_is_told_apart() -> None:
    """`method_not_allowed` when the path is known under other methods, else `unmatched_route`."""
    fakes = house(UNMATCHED)
    assert verdict(await fakes.decisions.decide(asked(method="DELETE", token="good.token"))) == (
        False,
        "method_not_allowed",
    )
    assert verdict(await fakes.decisions.decide(asked("/nothing", token="good.token"))) == (False, "unmatched_route")


@pytest.mark.parametrize("target", ["/nothing", "/memory/42"])
@pytest.mark.parametrize("answer", [ALLOW, DENY])
async def test_a_policy_may_decide_without_a_route(target: str, answer: PolicyDecision) -> None:
    """Where no route matches it is still the policy that decides; it sees neither route nor parameters."""
    fakes = house(answer)
    decision = await fakes.decisions.decide(asked(target, method="DELETE", token="good.token"))
    assert verdict(decision) == (answer.allow, answer.reason)
    assert told(fakes)["resource"] == {"type": "route", "id": target}


STATED: dict[str, Any] = {"route": "/memory/{id}", "params": {"id": "7"}, "more": 1}


async def test_a_trusted_caller_may_state_the_route() -> None:
    """Without a token a trusted caller's template and parameters count in place of the path, for HEAD as for GET."""
    for method in ("GET", "HEAD"):
        fakes = house()
        question = asked(
            "anything", caller=TRUSTED, subject=Entity("user", "bob"), resource_properties=STATED, method=method
        )
        assert (await fakes.decisions.decide(question)).route == "/memory/{id}"
        assert told(fakes)["resource"] == {
            "type": "route",
            "id": "anything",
            "route": "/memory/{id}",
            "params": {"id": "7"},
            "properties": STATED,
        }


@pytest.mark.parametrize(
    "members",
    [
        {"token": "good.token"},
        {"token": "good.token", "caller": TRUSTED},
        {"token": "good.token", "caller": TRUSTED, "subject": Entity("user", "alice")},
        {"subject": Entity("user", "bob")},
    ],
)
async def test_a_stated_route_counts_only_with_an_asserted_subject(members: dict[str, Any]) -> None:
    """From an untrusted caller, or beside a token, the route and its parameters come from the path alone."""
    fakes = house()
    decision = await fakes.decisions.decide(asked("/memory/42", resource_properties=STATED, **members))
    assert decision.route == "/memory/{id}"
    assert told(fakes)["resource"]["params"] == {"id": "42"}
    assert recorded(fakes).params == {"id": pseudonym("42")}


async def test_a_stated_route_that_nobody_declared_is_none() -> None:
    """A template that is not in the catalogue under this method is no route."""
    for stated, method in (("/nothing/{id}", "GET"), ("/memory/{id}", "PUT")):
        fakes = house(UNMATCHED)
        properties = {"route": stated, "params": {"id": "7"}}
        question = asked(caller=TRUSTED, subject=Entity("user", "bob"), resource_properties=properties, method=method)
        decision = await fakes.decisions.decide(question)
        assert (verdict(decision), decision.route) == ((False, "unmatched_route"), None)


UNREADABLE_ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("resource.properties.route: must be a route template such as /memory/{id}", {"route": 7}),
    ("resource.properties.params: must be an object of strings", {"route": "/memory/{id}", "params": ["7"]}),
    ("resource.properties.params: must be an object of strings", {"route": "/memory/{id}", "params": {"id": 7}}),
    ("resource.properties.params: must hold exactly ['id']", {"route": "/memory/{id}"}),
    ("resource.properties.params: must hold exactly ['id']", {"route": "/memory/{id}", "params": {"id": "7", "x": ""}}),
    ("resource.properties.params: must hold exactly []", {"route": "/health", "params": {"id": "7"}}),
]


@pytest.mark.parametrize(("message", "properties"), UNREADABLE_ROUTES)
async def test_a_stated_route_that_cannot_be_read_is_a_bad_request(message: str, properties: dict[str, Any]) -> None:
    """A trusted caller is told by field what of its route cannot be read; nothing is recorded."""
    fakes = house()
    with pytest.raises(BadRequestError) as caught:
        await fakes.decisions.decide(
            asked(caller=TRUSTED, subject=Entity("user", "bob"), resource_properties=properties)
        )
    assert str(caught.value) == message
    assert (fakes.policy.asked, fakes.ledger.asked, fakes.meter.counted) == ([], 0, [])


async def test_the_time_and_the_address_are_ours() -> None:
    """A caller's context reaches the policy, except for `now`, and for `ip` where the gateway tells it."""
    context = {"now": 1, "ip": "6.6.6.6", "channel": "app"}
    fakes = house()
    await fakes.decisions.decide(asked(token="good.token", context=context, ip="192.0.2.1"))
    assert told(fakes)["context"] == {"now": int(NOW), "ip": "192.0.2.1", "channel": "app"}
    assert context["now"] == 1


# The token goes no further


@pytest.mark.parametrize("token", ["good.token", "old.token", "garbage.token"])
@pytest.mark.parametrize("caller", [GATEWAY, TRUSTED])
async def test_the_token_stops_at_the_verifier(token: str, caller: Caller) -> None:
    """Neither the policy nor the ledger ever sees the token's text, wherever the caller put it in the subject."""
    fakes = house()
    subject = Entity("user", "", {"token": token})
    decision = await fakes.decisions.decide(asked(token=token, caller=caller, subject=subject))
    assert token.encode() not in b"".join(fakes.policy.asked)
    assert token.encode() not in msgspec.json.encode(fakes.ledger.events)
    assert token not in repr(decision)
    assert token not in repr(asked(token=token))
    assert fakes.verifier.asked == [token]


# One revision


async def test_one_revision_answers_the_whole_question() -> None:
    """When another policy comes into force while a question is answered, the first one answers it to the end."""
    fakes = house()
    first, second = fakes.policy, FakePolicy(DENY, Catalogue(scopes=(), roles=()), revision="fedcba9876543210")

    class Activating:
        async def verify(self, _token: BearerToken) -> Subject:
            fakes.policies.in_force = second
            return ALICE

    decisions = msgspec.structs.replace(fakes.decisions, verifier=Activating())
    decision = await decisions.decide(asked(token="good.token"))
    assert (verdict(decision), decision.revision, decision.route) == (
        (True, "scope_granted"),
        "0123456789abcdef",
        "/memory/{id}",
    )
    assert (fakes.policies.taken, len(first.asked), second.asked) == (1, 1, [])
    assert recorded(fakes).revision == "0123456789abcdef"


# Durable first


async def test_a_decision_is_durable_before_it_is_told() -> None:
    """decide() does not return, and nothing is counted, until the ledger has acknowledged the record."""
    fakes = house()
    fakes.ledger.durable.clear()
    deciding = asyncio.ensure_future(fakes.decisions.decide(asked(token="good.token")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (fakes.ledger.asked, deciding.done(), fakes.meter.counted) == (1, False, [])
    fakes.ledger.durable.set()
    decision = await deciding
    assert [(event.id, event.type) for event in fakes.ledger.events] == [(decision.id, "auth.scope_granted")]


@pytest.mark.parametrize("answer", [ALLOW, DENY, PUBLIC])
@pytest.mark.parametrize("failure", [AuditUnavailableError("disk full"), OverloadedError("queue full")])
async def test_what_is_not_recorded_is_not_allowed(failure: Exception, answer: PolicyDecision) -> None:
    """When the ledger fails or is full, the answer is that: no allow, no grants, no headers. It is still counted."""
    fakes = house(answer)
    fakes.ledger.failure = failure
    decision = await fakes.decisions.decide(asked(token="good.token"))
    reason = "overloaded" if isinstance(failure, OverloadedError) else "audit_unavailable"
    assert decision == Decision(
        id="id-1", allow=False, reason=reason, revision="0123456789abcdef", subject=ALICE, route="/memory/{id}"
    )
    assert [(counted, seconds) for _, counted, seconds in fakes.meter.counted] == [(decision, 0.25)]


async def test_a_ledger_that_breaks_its_promise_is_no_allow() -> None:
    """An error that the ledger never announced ends the question; nobody is told an allow."""
    fakes = house()
    fakes.ledger.failure = ValueError("bug")
    with pytest.raises(ValueError, match="bug"):
        await fakes.decisions.decide(asked(token="good.token"))
    assert fakes.meter.counted == []


# What is recorded

TOLD: dict[str, Any] = {
    "ip": "192.0.2.1",
    "user_agent": "curl/8",
    "session_id": "s-2",
    "request_id": "r-1",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "host": "API.test:443",
}
TOLD_RECORDED: dict[str, Any] = TOLD | {"host": "api.test", "session_id": pseudonym("s-2")}
REPLAY: dict[str, Any] = {
    "revision": "0123456789abcdef",
    "engine": "embedded",
    "dialect": "envoy",
    "caller": "gateway",
    "channel": "http",
}
ALICE_RECORDED: dict[str, Any] = {
    "subject": pseudonym("alice"),
    "subject_type": "user",
    "subject_source": "token",
    "issuer": "https://idp.test",
    "roles": ("user_basic",),
    "token_scopes": ("memory:read",),
    "scope_mode": "restrict",
    "claims": ShownClaims(acr="2"),
}
NOBODY_RECORDED: dict[str, Any] = {"subject_type": "anonymous", "subject_source": "anonymous"}


async def test_the_record_of_an_allow() -> None:
    """An allow is recorded with all that replays and explains it; IDs, parameters and sessions as pseudonyms."""
    fakes = house()
    await fakes.decisions.decide(asked(token="good.token", **TOLD))
    body = DecisionBody(
        decision="allow",
        reason="scope_granted",
        operation="memory.accessed",
        scopes=("memory:read",),
        granted_by={"memory:read": ("user_basic",)},
        action="GET",
        route="/memory/{id}",
        params={"id": pseudonym("42")},
        **ALICE_RECORDED,
        **REPLAY,
        **TOLD_RECORDED,
    )
    assert fakes.ledger.events == [Event("id-1", "auth.scope_granted", body)]


async def test_the_record_of_a_denial() -> None:
    """A denial is recorded with what was missing; the session is the token's where the gateway tells none."""
    fakes = house(DENY)
    await fakes.decisions.decide(asked(token="good.token", method="HEAD"))
    body = DecisionBody(
        decision="deny",
        reason="scope_missing",
        operation="memory.accessed",
        scopes=("memory:read", "memory:write"),
        missing=("memory:write",),
        action="HEAD",
        route="/memory/{id}",
        params={"id": pseudonym("42")},
        session_id=pseudonym("s-1"),
        **ALICE_RECORDED,
        **REPLAY,
    )
    assert fakes.ledger.events == [Event("id-1", "auth.scope_denied", body)]


async def test_the_record_of_a_refused_token() -> None:
    """Of a token that failed only the unverified claims are kept, under that name, and nobody is the subject."""
    fakes = house(DENY)
    await fakes.decisions.decide(asked(token="old.token"))
    body = DecisionBody(
        decision="deny",
        reason="token_expired",
        operation="memory.accessed",
        scopes=("memory:read", "memory:write"),
        missing=("memory:write",),
        action="GET",
        route="/memory/{id}",
        params={"id": pseudonym("42")},
        unverified=UnverifiedClaims(iss="https://idp.test", exp=1, alg="EdDSA"),
        **NOBODY_RECORDED,
        **REPLAY,
    )
    assert fakes.ledger.events == [Event("id-1", "security.failed_login", body)]


@pytest.mark.parametrize("target", ["/memory/42/x%20y?email=a@b.test", "/memory//42", "/memory/..;/42"])
async def test_the_record_of_a_path_without_a_route(target: str) -> None:
    """Of a path that matched no route only the words that routes spell out are kept, and never the query."""
    fakes = house(UNMATCHED)
    decision = await fakes.decisions.decide(asked(target, token="good.token"))
    path = target.partition("?")[0]
    body = DecisionBody(
        decision="deny",
        reason=decision.reason,
        action="GET",
        path="/".join(word if word in ("", "memory") else pseudonym(word) for word in path.split("/")),
        session_id=pseudonym("s-1"),
        **ALICE_RECORDED,
        **REPLAY,
    )
    assert fakes.ledger.events == [Event("id-1", "auth.scope_denied", body)]


async def test_parameters_are_treated_as_the_catalogue_says() -> None:
    """A parameter is hashed unless the catalogue says `clear` or `drop`."""
    fakes = house()
    await fakes.decisions.decide(asked("/files/alice/photos/a/b", token="good.token"))
    assert told(fakes)["resource"]["params"] == {"owner": "alice", "kind": "photos", "rest": "a/b"}
    assert recorded(fakes).params == {"owner": pseudonym("alice"), "kind": "photos"}

    fakes = house()
    await fakes.decisions.decide(asked(f"/files/alice/{'k' * 257}/a", token="good.token"))
    assert recorded(fakes).params == {"owner": pseudonym("alice"), "kind": pseudonym("k" * 257)}


async def test_the_record_of_a_scope() -> None:
    """A scope of the catalogue is recorded by name; `audit_as` gives the record another type."""
    fakes = house()
    question = AccessRequest(
        caller=TRUSTED,
        dialect="admin",
        action=Action("use"),
        resource=Entity("scope", "admin:audit:read"),
        token=BearerToken("good.token"),
    )
    decision = await fakes.decisions.decide(question, audit_as="admin.access")
    assert decision.route is None
    body = DecisionBody(
        decision="allow",
        reason="scope_granted",
        scopes=("memory:read",),
        granted_by={"memory:read": ("user_basic",)},
        action="use",
        resource={"type": "scope", "id": "admin:audit:read"},
        session_id=pseudonym("s-1"),
        **ALICE_RECORDED,
        **REPLAY | {"dialect": "admin", "caller": "backend"},
    )
    assert fakes.ledger.events == [Event("id-1", "admin.access", body)]


@pytest.mark.parametrize("kind", ["document", "scope"])
async def test_the_record_of_a_resource_of_others(kind: str) -> None:
    """A resource that is neither route nor known scope is recorded by pseudonym, its properties hashed."""
    fakes = house()
    question = AccessRequest(
        caller=TRUSTED,
        dialect="authzen",
        action=Action("read"),
        resource=Entity(kind, "doc-7", {"owner": "alice", "pages": 12, "open": True, "at": None, "tags": ["x", 1.5]}),
        subject=Entity("user", "bob", {"roles": ["user_basic"]}),
        channel="ws",
    )
    await fakes.decisions.decide(question)
    assert recorded(fakes) == DecisionBody(
        decision="allow",
        reason="scope_granted",
        subject=pseudonym("bob"),
        subject_type="user",
        subject_source="asserted",
        roles=("user_basic",),
        scopes=("memory:read",),
        granted_by={"memory:read": ("user_basic",)},
        action="read",
        resource={
            "type": kind,
            "id": pseudonym("doc-7"),
            "properties": {
                "owner": pseudonym("alice"),
                "pages": pseudonym("12"),
                "open": True,
                "at": None,
                "tags": [pseudonym("x"), pseudonym("1.5")],
            },
        },
        **REPLAY | {"dialect": "authzen", "caller": "backend", "channel": "ws"},
    )


async def test_the_context_is_recorded_hashed() -> None:
    """Of the context the structure is kept: every text and number is hashed, and every name that may be an ID."""
    fakes = house()
    context = {"purpose": "care", "phone": 4917, "ok": False, "for": {"bob@b.test": True, "u1": None}, "l": [["a"]]}
    await fakes.decisions.decide(asked(token="good.token", context=context))
    assert recorded(fakes).context == {
        "purpose": pseudonym("care"),
        "phone": pseudonym("4917"),
        "ok": False,
        "for": {pseudonym("bob@b.test"): True, pseudonym("u1"): None},
        "l": [[pseudonym("a")]],
    }


async def test_a_large_context_is_recorded_by_digest() -> None:
    """A context over 8 KiB is recorded as its size and a pseudonym of the whole."""
    fakes = house()
    context = {"text": "x" * 8192}
    await fakes.decisions.decide(asked(token="good.token", context=context))
    encoded = json.dumps(context, separators=(",", ":"))
    assert recorded(fakes).context == {"omitted_bytes": len(encoded), "digest": pseudonym(encoded)}


async def test_a_context_that_grows_too_large_is_recorded_by_digest() -> None:
    """A digit becomes a pseudonym of 34 characters: a context of 4 KiB that would be 74 KiB in the record."""
    fakes = house()
    context = {"vector": [1] * 2000}
    await fakes.decisions.decide(asked(token="good.token", context=context))
    encoded = json.dumps(context, separators=(",", ":"))
    assert recorded(fakes).context == {"omitted_bytes": len(encoded), "digest": pseudonym(encoded)}


async def test_whatever_is_asked_and_answered_fits_into_a_record() -> None:
    """Everything at its longest, in characters that take six bytes each, is a record of less than 60,000 bytes."""
    odd = "\u0001"
    names = [odd * 100] * 13
    fakes = house(PolicyDecision(allow=False, reason="scope_missing", scopes=("s" * (MAX_ANSWER_BYTES - 60),)))
    question = asked(
        caller=TRUSTED,
        subject=Entity(odd * 99, "bob", {"roles": names, "scopes": names}),
        resource=Entity(odd * 99, "7", {"vector": [1] * 320}),
        context={"vector": [1] * 320},
        method=odd * 99,
        **dict.fromkeys(("ip", "user_agent", "request_id", "session_id"), odd * 999),
    )
    await fakes.decisions.decide(question)
    body = recorded(fakes)
    assert (len(body.context["vector"]), len(body.roles)) == (320, 13)
    assert 50_000 < len(msgspec.json.encode(body)) < 59_000


async def test_a_clients_own_texts_are_kept_short() -> None:
    """What a client chooses at will is cut: addresses, agents and request IDs to 256 characters, names to 64."""
    fakes = house()
    question = asked(ip="i" * 999, user_agent="a" * 999, request_id="r" * 999, method="M" * 999)
    await fakes.decisions.decide(question)
    body = recorded(fakes)
    assert (body.ip, body.user_agent, body.request_id, body.action) == ("i" * 256, "a" * 256, "r" * 256, "M" * 64)

    stated = Entity("s" * 999, "bob")
    fakes = house()
    await fakes.decisions.decide(asked(caller=TRUSTED, subject=stated, resource=Entity("t" * 999, "7")))
    body = recorded(fakes)
    assert (body.subject_type, body.resource) == ("s" * 64, {"type": "t" * 64, "id": pseudonym("7")})


@pytest.mark.parametrize("reason", REASONS)
async def test_every_reason_has_its_type_of_record(reason: str) -> None:
    """One record per decision, its type by the kind of the reason, its outcome allow, deny or error."""
    status = REASONS[reason].kind.value
    expected = {
        200: ("auth.scope_granted", "allow"),
        401: ("security.failed_login", "deny"),
        403: ("auth.scope_denied", "deny"),
        429: ("auth.rate_limited", "deny"),
        503: ("auth.error", "error"),
    }[status]
    fakes = house(PolicyDecision(status == 200, reason, ()))
    await fakes.decisions.decide(asked(token="good.token"))
    (event,) = fakes.ledger.events
    assert (event.type, recorded(fakes).decision) == expected


UNUSUAL = st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: f"{text}7~")
"""IDs that end on what no record holds otherwise."""


def texts(value: Any) -> list[str]:
    """Every string in a JSON value, the names of members too."""
    if isinstance(value, dict):
        return [text for name, member in value.items() for text in [name, *texts(member)]]
    if isinstance(value, list):
        return [text for member in value for text in texts(member)]
    return [value] if isinstance(value, str) else []


@many
@given(UNUSUAL, st.sampled_from(["/memory/{}", "/nothing/{}", "/files/{}/photos/1", "/a/../{}", "/memory?q={}"]))
def test_no_raw_id_enters_the_ledger(secret: str, template: str) -> None:
    """However unusual an ID is and wherever it stands, the record holds it neither raw nor percent-encoded."""
    encoded = quote(secret, safe="")
    question = asked(
        template.format(encoded),
        token="good.token",
        session_id=secret,
        context={"about": secret, "list": [{secret + "@": secret}]},
        resource_properties={"owner": secret},
    )
    scope = msgspec.structs.replace(question, resource=Entity("document", secret, {"owner": secret}))
    asserting = msgspec.structs.replace(
        scope, token=None, caller=TRUSTED, subject=Entity("user", secret, {"x": secret})
    )
    for each in (question, scope, asserting):
        fakes = house(DENY)
        fakes.verifier.known["good.token"] = msgspec.structs.replace(ALICE, id=secret, pseudonym=pseudonym(secret))
        asyncio.run(fakes.decisions.decide(each))
        (event,) = fakes.ledger.events
        for text in texts(json.loads(msgspec.json.encode(event.body))):
            assert secret not in text
            assert encoded not in text


# Counted


@pytest.mark.parametrize("token", ["good.token", "old.token", None])
@pytest.mark.parametrize("answer", [ALLOW, DENY, PUBLIC, ERROR])
async def test_every_decision_is_counted_once(answer: PolicyDecision, token: str | None) -> None:
    """The meter is told of each decision exactly once: the question, the answer that was given, and its time."""
    fakes = house(answer)
    question = asked(token=token)
    decision = await fakes.decisions.decide(question)
    assert fakes.meter.counted == [(question, decision, 0.25)]
    assert len(fakes.ledger.events) == 1


async def test_every_decision_has_its_own_id() -> None:
    """Two answers to one question are two decisions with two records."""
    fakes = house()
    decisions = [await fakes.decisions.decide(asked(token="good.token")) for _ in range(2)]
    assert [decision.id for decision in decisions] == ["id-1", "id-2"]
    assert [event.id for event in fakes.ledger.events] == ["id-1", "id-2"]


async def test_a_question_moves_on_with_the_engine() -> None:
    """When the engine speaks for another revision by now, that one's route table and answer are the decision's."""
    newer = FakePolicy(
        ALLOW, Catalogue(scopes=(), roles=(), routes=(CatalogueRoute("GET", "/memory/{key}"),)), revision="newer"
    )
    fakes = House(FakePolicy(ALLOW, CATALOGUE), TOKENS)

    def superseded(_check: bytes) -> PolicyDecision:
        fakes.policies.in_force = newer
        return SUPERSEDED

    fakes.policy.answer = superseded
    decision = await fakes.decisions.decide(asked(token="good.token"))
    assert (decision.allow, decision.revision, decision.route) == (True, "newer", "/memory/{key}")
    assert [msgspec.to_builtins(event.body)["revision"] for event in fakes.ledger.events] == ["newer"]
    assert len(fakes.meter.counted) == 1


async def test_an_engine_between_revisions_is_asked_twice_and_no_more() -> None:
    """A revision that nobody here knows is "could not decide", never an allow, and recorded as such."""
    fakes = House(FakePolicy(SUPERSEDED, CATALOGUE), TOKENS)
    decision = await fakes.decisions.decide(asked(token="good.token"))
    assert (decision.allow, decision.reason) == (False, "engine_unavailable")
    assert len(fakes.policy.asked) == 2
    assert [event.type for event in fakes.ledger.events] == ["auth.error"]


async def test_a_batch_moves_on_as_a_whole() -> None:
    """One item of another revision has all of them asked once more: no batch mixes revisions."""
    newer = FakePolicy(ALLOW, CATALOGUE, revision="newer")
    fakes = House(FakePolicy(ALLOW, CATALOGUE), TOKENS)

    def superseded(_check: bytes) -> PolicyDecision:
        fakes.policies.in_force = newer
        return SUPERSEDED if len(fakes.policy.asked) == 2 else ALLOW

    fakes.policy.answer = superseded
    batch = await fakes.decisions.decide_all([asked(token="good.token") for _ in range(3)])
    assert {(answer.allow, answer.revision) for answer in batch.answers if isinstance(answer, Decision)} == {
        (True, "newer")
    }
    assert len(batch.answers) == len(fakes.ledger.events) == 3
