"""Headers by which clients say who they are, where they go and where they come from: no gateway passes one on."""

import pytest

from tests.e2e.client import Client, HungUpError
from tests.e2e.conftest import Stack
from tests.e2e.corpus import IDENTITY, Fields, claims
from tests.e2e.upstream import Seen

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EVIL = ("6.6.6.6", "evil.test", "forged", "root")
"""What the claims say; no header of the upstream's may say it, but those that are no claim to us."""

HARMLESS = ("user-agent", "cf-connecting-ip", "x-envoy-original-path", "x-auth-request-redirect", "x-forwarded-path")


def status_of(client: Client, method: str, path: str, fields: Fields) -> int:
    """What a client gets; 0 when the gateway hangs up on it."""
    try:
        return client.send(method, path, list(fields)).status
    except HungUpError:
        return 0


def believed(stack: Stack, seen: Seen) -> list[tuple[str, str]]:
    """The headers at the upstream that make a claim of the client's, or another identity than the true one."""
    who = true_identity(seen)
    passing = "no underscores" in stack.gateway.lacks
    return [
        (name, value)
        for name, value in seen.fields
        if who.get(name.replace("_", "-").strip(), value) != value
        or (name not in HARMLESS and not (passing and "_" in name) and any(evil in value for evil in EVIL))
    ]


def true_identity(seen: Seen) -> dict[str, str]:
    """The identity headers of a request by its record, for alice or for nobody."""
    public = seen.target == "/health"
    who = ("", "", "") if public else ("alice", "user_basic", "memory:read")
    return dict(zip(map(str.lower, IDENTITY), (*who, seen.one("x-decision-id") or ""), strict=True))


def test_no_claim_opens_a_door(stack: Stack) -> None:
    """Where the policy denies, no header makes it another path, method or person: nothing reaches the upstream."""
    who = tuple(stack.bearer().items())
    passed = []
    with Client(stack.url) as client:
        for sent in claims():
            for method, path, fields in (("PUT", "/admin/config", who), ("GET", "/memory", ())):
                status = status_of(client, method, path, (*fields, *sent))
                if status not in (0, 400, 401, 403, 431, 503):
                    passed.append((status, method, sent))

    assert (passed, stack.upstream.seen) == ([], [])


def test_no_claim_reaches_the_upstream(stack: Stack) -> None:
    """Where the policy allows, the upstream sees the true identity and nothing of what the client says of itself."""
    who = tuple(stack.bearer().items())
    wrong = []
    allowed = 0
    with Client(stack.url) as client:
        for sent in claims():
            for path, fields in (("/memory", who), ("/health", ())):
                stack.upstream.seen.clear()
                allowed += status_of(client, "GET", path, (*fields, *sent)) == 200
                for seen in stack.upstream.seen:
                    if found := believed(stack, seen):
                        wrong.append((path, sent, found))
                    if path == "/memory" and seen.one("x-authz-subject") != "alice":
                        wrong.append((path, sent, [("x-authz-subject", "is gone")]))

    assert wrong == []
    assert allowed > 100


def test_a_doubled_authorization_is_nobodys(stack: Stack) -> None:
    """Two Authorization headers, or one that is folded, or one that is hidden: refused, whichever of them is good.

    An empty one beside it does no harm where the gateway drops it, for the upstream too.
    """
    good = stack.bearer()["Authorization"]
    doubled: list[Fields] = [
        (("Authorization", good), ("Authorization", good)),
        (("Authorization", good), ("Authorization", "Bearer x")),
        (("Authorization", "Bearer x"), ("authorization", good)),
        (("Authorization", f"{good},{good}"),),
        (("Authorization", f"{good}, Bearer x"),),
        (("Authorization", "Basic YTpi"), ("Authorization", good)),
        (("X-Authorization", good),),
        (("Proxy-Authorization", good),),
        (("Cookie", f"Authorization={good}"),),
    ]
    with Client(stack.url) as client:
        statuses = [status_of(client, "GET", "/memory", fields) for fields in doubled]
        refused = not stack.upstream.seen
        empty = status_of(client, "GET", "/memory", (("Authorization", ""), ("Authorization", good)))

    assert (set(statuses) <= {400, 401}, refused) == (True, True)
    assert (empty, [seen.values("authorization") for seen in stack.upstream.seen]) in (
        (400, []),
        (401, []),
        (200, [[good]]),
    )


def test_the_records_of_claims_tell_the_truth(stack: Stack) -> None:
    """Nothing that the claims say is in the records: address, host, agent and session are the gateway's word."""
    who = stack.bearer()
    with Client(stack.url) as client:
        for sent in claims():
            status_of(client, "GET", "/memory", (*who.items(), *sent))
    recorded = [event for event in stack.decisions(1_000) if event["type"] == "auth.scope_granted"]

    assert {event.get("ip") for event in recorded} == {"127.0.0.1"}
    assert {event.get("host") for event in recorded} == {"api.test"}
    assert {event.get("session_id") for event in recorded} == {None}
    assert len(recorded) > 100
