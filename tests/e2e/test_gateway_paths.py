"""Hundreds of targets through every gateway: whatever reached the upstream is what the policy allows, however read."""

import re
import subprocess
from typing import Any
from urllib.parse import unquote

import pytest

from authz.core import split_path
from tests.e2e.client import Client, HungUpError
from tests.e2e.conftest import Stack
from tests.e2e.corpus import PLAIN, readings, some_targets, targets
from tests.e2e.gateways import program
from tests.e2e.oracle import may
from tests.e2e.upstream import Seen

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "get", "FOO", "CONNECT", "TRACE")


def status_of(client: Client, method: str, target: str, who: dict[str, str]) -> int:
    """What a client gets for one target; 0 when the gateway hangs up on it."""
    try:
        return client.send(method, target, who).status
    except HungUpError:
        return 0


def quoted(target: str) -> tuple[str, str]:
    """A target in one spelling, as gateways may spell a path anew; its query apart."""
    path, _, query = target.partition("?")
    return unquote(path), query


def unlawful(seen: list[Seen]) -> list[tuple[Seen, str]]:
    """The requests, each with one reading of its path, that alice as `user_basic` may not make."""
    return [
        (each, reading)
        for each in seen
        for reading in readings(each.target)
        if not may("user_basic", each.method, reading)
    ]


@pytest.mark.e2e
@pytest.mark.slow
def test_no_spelling_of_a_path_gets_past(stack: Stack) -> None:
    """Each target is refused, or it reaches the upstream as something that is allowed in every way to read it."""
    who = stack.bearer()
    with Client(stack.url) as client:
        statuses = {target: status_of(client, "GET", target, who) for target in some_targets()}

    assert unlawful(stack.upstream.seen) == []
    assert set(statuses.values()) <= {0, 200, 307, 400, 403, 404, 414, 431, 503}
    assert [seen.target for seen in stack.upstream.seen if "admin/config" in seen.target] == []
    assert {target: statuses[target] for target in PLAIN} == dict.fromkeys(PLAIN, 200)
    reached = {quoted(seen.target) for seen in stack.upstream.seen}
    assert [target for target in PLAIN if quoted(target) not in reached] == []
    assert list(statuses.values()).count(200) == len(stack.upstream.seen)


@pytest.mark.e2e
@pytest.mark.slow
def test_what_reached_the_upstream_is_what_was_recorded(stack: Stack) -> None:
    """Each request that passed carries the ID of a recorded allow for exactly its method, host and route."""
    who = stack.bearer()
    with Client(stack.url) as client:
        for target in some_targets():
            status_of(client, "GET", target, who)
    recorded: dict[str, dict[str, Any]] = {event["id"]: event for event in stack.decisions(10_000)}

    told, expected = [], []
    for seen in stack.upstream.seen:
        event = recorded[seen.one("x-decision-id") or ""]
        told.append((event["decision"], event["action"], event["host"], event["route"]))
        deep = len(split_path(seen.target) or ())
        route = {1: "/memory", 2: "/memory/{id}"}[deep]
        expected.append(("allow", seen.method, re.sub(":[0-9]+$", "", seen.one("host") or "").lower(), route))
    assert told == expected
    assert len(told) >= len(PLAIN)


@pytest.mark.e2e
@pytest.mark.slow
def test_no_method_gets_past(stack: Stack) -> None:
    """Whatever the method is called, the upstream sees it as it was judged, or not at all."""
    who = stack.bearer()
    paths = ("/memory", "/memory/42", "/admin/config", "/admin/users/alice", "/health")
    with Client(stack.url) as client:
        statuses = {(method, path): status_of(client, method, path, who) for method in METHODS for path in paths}

    assert unlawful(stack.upstream.seen) == []
    assert {pair: status for pair, status in statuses.items() if status == 200} == dict.fromkeys(
        [(method, path) for method in ("GET", "HEAD") for path in ("/memory", "/memory/42", "/health")], 200
    )


@pytest.mark.e2e
@pytest.mark.slow
def test_http2_opens_no_other_way(stack: Stack) -> None:
    """Over HTTP/2 too a target is refused, or reaches the upstream as something that is allowed however it is read."""
    if not stack.gateway.http2:
        return
    command = [program("curl"), "-sgo/dev/null", "-w%{http_code}", "--path-as-is", "--http2-prior-knowledge"]
    command += ["-H", f"Authorization: {stack.bearer()['Authorization']}", "-H", "X-Authz-Subject: root"]
    targets = [each for each in some_targets() if re.fullmatch(r"/[!-~]{0,999}", each) and "#" not in each][:80]
    statuses = {
        target: subprocess.run([*command, stack.url + target], capture_output=True, text=True, check=False).stdout
        for target in targets
    }

    assert unlawful(stack.upstream.seen) == []
    assert {seen.one("x-authz-subject") for seen in stack.upstream.seen} == {"alice"}
    assert {target: statuses[target] for target in PLAIN if target in statuses} == dict.fromkeys(PLAIN, "200")


def test_the_corpus_is_large_and_its_readings_tell() -> None:
    """There are more than 300 targets, most of them another path to somebody; what must pass has one meaning."""
    corpus = targets()
    forbidden = [each for each in corpus if any(not may("user_basic", "GET", reading) for reading in readings(each))]
    assert len(corpus) > 300
    assert len(forbidden) > 300
    assert [each for each in PLAIN if each in forbidden] == []


def test_no_target_of_the_corpus_is_accepted_that_has_two_readings() -> None:
    """What the sidecar accepts of a target is allowed, or denied, in every way to read it."""
    torn = {}
    for target in targets():
        verdicts = {may("user_basic", "GET", reading) for reading in readings(target)}
        if split_path(target) is not None and may("user_basic", "GET", "/" + "/".join(split_path(target) or ())):
            torn[target] = verdicts
    assert {target: verdicts for target, verdicts in torn.items() if verdicts != {True}} == {}
    assert len(torn) >= len(PLAIN)
