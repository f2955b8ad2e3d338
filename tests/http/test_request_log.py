"""One line for each request: every denial and refusal, a sample of the allows, at a level that can be changed."""

import hashlib
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from authz import log
from authz.core import AuditUnavailableError, Event
from tests.http.conftest import Running, Start

HAMMER = [{"name": "on-call", "sha256": hashlib.sha256(b"hammer").hexdigest()}]


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines about requests since the last time, without what changes from run to run."""
    log.flush()
    found = []
    for text in captured.readouterr().err.splitlines():
        line = msgspec.json.decode(text)
        if line["event"].startswith("request_"):
            for name in ("timestamp", "seconds", "level", "logger"):
                line.pop(name)
            found.append(line)
    return found


async def test_denials_and_refusals_have_a_line_each(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """Each line names the reason and what the client called the request, a denial's the decision and the route too."""
    running = await start()
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"X-Request-ID": "r-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    denied = await running.check("GET", "/memory", headers=sent)
    await running.send("GET", f"{running.decision}/nothing", headers={"X-Request-ID": "r-2"})

    assert lines(capfd) == [
        {
            "event": "request_denied",
            "status": 401,
            "reason": "token_missing",
            "decision_id": denied.headers["x-decision-id"],
            "route": "/memory",
            "request_id": "r-1",
            "trace_id": trace,
            "enforced": True,
        },
        {
            "event": "request_refused",
            "status": 404,
            "reason": "not_found",
            "decision_id": None,
            "route": None,
            "request_id": "r-2",
            "trace_id": None,
            "enforced": None,
        },
    ]


@pytest.mark.parametrize(("one_in", "expected"), [(0, 0), (1, 6), (3, 2)])
async def test_allows_are_sampled(start: Start, capfd: pytest.CaptureFixture[str], one_in: int, expected: int) -> None:
    """`log.allows_one_in` allows make one line; 0 makes none."""
    running = await start(**{"log.allows_one_in": one_in})
    token = running.token("alice", "user_basic")
    for _ in range(6):
        assert (await running.check("GET", "/memory", token=token)).status == 200

    assert [line["event"] for line in lines(capfd)] == ["request_allowed"] * expected


async def test_the_level_can_be_changed_while_it_runs(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """`POST /v1/log/level` works at once, takes a scope or break-glass, and is recorded with who did it."""
    running = await start(**{"admin.tokens": HAMMER})
    url = f"{running.admin}/v1/log/level"
    before = (await running.send("POST", url, {"level": "warning"})).status
    refused = await running.send("POST", url, {"level": "loud"}, token="hammer")
    changed = await running.send("POST", url, {"level": "warning"}, token="hammer")
    lines(capfd)
    await running.check("GET", "/memory")
    quiet = lines(capfd)
    await running.send("POST", url, {"level": "info"}, token="hammer")
    await running.check("GET", "/memory")

    assert (before, refused.status, refused.body["reason"]) == (401, 400, "bad_request")
    assert (changed.status, changed.body, quiet) == (200, {"level": "warning", "by": "on-call"}, [])
    assert len(lines(capfd)) == 1
    recorded = await running.events(type="admin.config_changed")
    assert [(event["key"], event["value"], event["by"]) for event in recorded] == [
        ("log.level", "info", "on-call"),
        ("log.level", "warning", "on-call"),
    ]


async def test_a_change_of_level_that_cannot_be_recorded_is_none(
    start: Start, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody silences the log without a record of it: the answer is 503, and lines go on."""
    running = await start(**{"admin.tokens": HAMMER})
    emergency = running.pdp.emergency.ledger

    async def record(event: Event) -> None:
        if event.type == "admin.config_changed":
            raise AuditUnavailableError("the disk is gone")
        await emergency.record(event)

    monkeypatch.setattr(running.pdp._parts.ledger, "owing", SimpleNamespace(record=record))
    answer = await running.send("POST", f"{running.admin}/v1/log/level", {"level": "error"}, token="hammer")
    lines(capfd)
    await running.check("GET", "/memory")

    assert answer.status == 503
    assert len(lines(capfd)) == 1
    assert await running.events(type="admin.config_changed") == []


async def test_what_is_no_http_is_a_request_too(running: Running) -> None:
    """A request that the parser refuses counts as one with code 400, like any other."""
    before = running.counted("authz_requests_total", route="other", method="other", code="400")
    answer = await running.raw(b"NOT HTTP AT ALL\r\n\r\n")
    after = running.counted("authz_requests_total", route="other", method="other", code="400")

    assert (answer[8:12], after - before) == (b" 400", 1)
