"""Rate limits through every gateway: 429 with Retry-After, and nothing of it upstream."""

import json
from pathlib import Path

import pytest

from authz.audit import verify_audit_integrity
from tests.e2e.client import Client
from tests.e2e.conftest import stack_of
from tests.e2e.gateways import Gateway
from tests.e2e.limited import COUNT, FULL_AGAIN_SECONDS, LIMIT, PER_SECONDS, limited_policy

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
__all__ = ["limited_policy"]

CALLER = '[[callers]]\nname = "gateway"\nvia = "loopback"\nsets_request_id = {}\n'


def test_what_is_over_the_limit_is_429_and_stays_here(gateway: Gateway, tmp_path: Path, limited_policy: Path) -> None:
    """Three pass and the fourth does not, whatever request ID or address the client claims; others are not touched."""
    configuration = tmp_path / "authz.toml"
    configuration.write_text(CALLER.format("false" if "own request id" in gateway.lacks else "true"))
    arguments = ("--dev", "--policy", str(limited_policy), "--config", str(configuration))
    with stack_of(gateway, tmp_path, *arguments) as stack, Client(stack.url) as client:
        alice, bob = stack.bearer("alice", "user_premium"), stack.bearer("bob", "user_premium")
        claimed = {"X-Request-ID": "always the same", "X-Forwarded-For": "6.6.6.6", "X-Authz-Client-IP": "6.6.6.6"}
        answers = [client.send("POST", "/memory/search", {**claimed, **alice}) for _ in range(COUNT + 2)]
        others = [client.send("POST", "/memory/search", bob), client.send("GET", "/memory", alice)]
        recorded = [each for each in stack.decisions(20) if each["reason"] == "rate_limited"]
        refused = answers[COUNT:]

        assert [each.status for each in answers] == [200] * COUNT + [429] * 2
        assert [each.status for each in others] == [200, 200]
        assert len(stack.upstream.seen) == COUNT + 2
        waits = [int(each.headers["retry-after"]) for each in refused]
        assert all(FULL_AGAIN_SECONDS - 600 < wait <= FULL_AGAIN_SECONDS for wait in waits)
        assert {each.headers["x-decision-id"] for each in refused} == {each["id"] for each in recorded}
        assert [(each["type"], each["decision"], each["route"], each["limit"]) for each in recorded] == [
            ("auth.rate_limited", "deny", "/memory/search", LIMIT)
        ] * 2
        assert stack.sidecar.metrics()['authz_scope_rate_limits_total{scope="memory:search"}'] == 2
        if gateway.relays:
            assert {json.loads(each.body)["reason"] for each in refused} == {"rate_limited"}
        stack.sidecar.stop()
        assert verify_audit_integrity(stack.sidecar.state)[0] is True


def test_an_address_that_asks_too_often_is_429_whoever_it_says_it_is(gateway: Gateway, tmp_path: Path) -> None:
    """The address that counts is the one the gateway sees: no header of a client's gives it another."""
    configuration = tmp_path / "authz.toml"
    configuration.write_text(f"[limits.address]\ncount = {COUNT}\nper_seconds = {PER_SECONDS}\n")
    with stack_of(gateway, tmp_path, "--dev", "--config", str(configuration)) as stack, Client(stack.url) as client:
        claims = ("X-Forwarded-For", "X-Authz-Client-IP", "X-Real-IP", "Forwarded")
        statuses = [client.send("GET", "/health", dict.fromkeys(claims, f"6.6.6.{n}")).status for n in range(COUNT + 2)]
        event = stack.decisions(1)[0]

        assert statuses == [200] * COUNT + [429] * 2
        assert len(stack.upstream.seen) == COUNT
        assert (event["reason"], event["ip"], event["route"]) == ("rate_limited", "127.0.0.1", "/health")
