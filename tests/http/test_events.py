"""`POST /v1/events`: recorded once, refused one by one, and nothing of ours forged."""

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from authz.core import EVENT_TYPES, MOST_REPORTED, AuditUnavailableError, DecisionBody, OverloadedError, Reported
from tests.http.conftest import Answer, Running, Start


async def report(running: Running, body: Any, **options: Any) -> Answer:
    """One call."""
    return await running.send("POST", f"{running.decision}/v1/events", body, **options)


def login(event_id: str = "e-1", **more: Any) -> dict[str, Any]:
    """An event that is complete."""
    return {"id": event_id, "type": "auth.login", "subject": "alice", **more}


def outcome(event_id: str = "r-1", **more: Any) -> dict[str, Any]:
    """How a request ended."""
    told = {"route": "/memory/m-77?q=1", "method": "GET", "status": 200, "duration_seconds": 0.02}
    return {"id": event_id, "type": "api.request", **told, **more}


async def test_an_event_is_in_the_ledger_when_its_reply_comes(running: Running) -> None:
    """One event is recorded with its caller as `source`, and the reply names the record."""
    answer = await report(running, login(time="2026-11-23T08:00:00Z", ip="192.0.2.1", request_id="req-9"))

    recorded = (await running.events(type="auth.login"))[0]
    assert (answer.status, answer.body) == (
        200,
        {
            "recorded": 1,
            "duplicate": 0,
            "refused": 0,
            "events": [{"id": "e-1", "outcome": "recorded", "record": recorded["id"]}],
        },
    )
    assert {name: value for name, value in recorded.items() if name not in ("prev", "seq", "ts", "id", "stream")} == {
        "type": "auth.login",
        "source": "dev-loopback",
        "occurred_at": "2026-11-23T08:00:00Z",
        "subject": running.pseudonym("alice"),
        "ip": "192.0.2.1",
        "request_id": "req-9",
    }


async def test_a_refused_event_keeps_no_other_from_the_ledger(running: Running) -> None:
    """Of a batch, what is unknown, not reportable, incomplete, wrong or too long is refused by name; the rest stays."""
    batch = [
        login("good-1"),
        login("bad-1", type="auth.levitated"),
        login("bad-2", type="auth.scope_granted"),
        {"id": "bad-3", "type": "auth.login"},
        login("bad-4", subject=7),
        login("bad-5", context={"text": "x" * 20_000}),
        login("bad-6", favourite="blue"),
        login("bad\n7"),
        "no object",
        login("good-2", type="user.created", subject="bob"),
        login("good-3", context={"many": [1] * 4000}),
        login("bad-9", resource={"type": "photo"}),
    ]

    answer = await report(running, batch)

    assert answer.status == 200
    assert [(each["id"], each["outcome"], each.get("error", {}).get("code")) for each in answer.body["events"]] == [
        ("good-1", "recorded", None),
        ("bad-1", "refused", "unknown_type"),
        ("bad-2", "refused", "not_reportable"),
        ("bad-3", "refused", "field_missing"),
        ("bad-4", "refused", "field_invalid"),
        ("bad-5", "refused", "event_too_large"),
        ("bad-6", "refused", "field_unknown"),
        ("bad\n7", "refused", "field_invalid"),
        (None, "refused", "field_invalid"),
        ("good-2", "recorded", None),
        ("good-3", "recorded", None),
        ("bad-9", "refused", "field_missing"),
    ]
    errors = [each["error"] for each in answer.body["events"] if each["outcome"] == "refused"]
    assert [error["field"] for error in errors] == [
        "type", "type", "subject", "subject", "", "favourite", "id", "", "resource.id",
    ]  # fmt: skip
    assert errors[2]["message"] == "subject: auth.login requires it"
    assert errors[6]["message"] == "id: must be 1 to 128 visible ASCII characters"
    recorded = [event for event in await running.events(limit=50) if "source" in event]
    assert [event["type"] for event in recorded] == ["auth.login", "user.created", "auth.login"]
    many = msgspec.json.encode({"many": [1] * 4000})
    assert recorded[0]["context"] == {"omitted_bytes": len(many), "digest": running.pseudonym(many.decode())}


async def test_a_call_of_which_nothing_is_good_is_a_400(running: Running) -> None:
    """A caller whose every event is refused learns it from the status."""
    answer = await report(running, login(type="system.startup"))

    assert (answer.status, answer.body["refused"]) == (400, 1)


async def test_no_type_of_ours_can_be_reported(running: Running) -> None:
    """What this service asserts itself is refused, whatever fields come with it."""
    ours = [name for name, row in EVENT_TYPES.items() if not row.reportable]
    forged = [{"id": "f", "type": name, **dict.fromkeys(EVENT_TYPES[name].required, "x")} for name in ours]

    answer = await report(running, [*forged, *({"id": "f", "type": name} for name in ours)])

    assert [each["error"]["code"] for each in answer.body["events"]] == ["not_reportable"] * 2 * len(ours)


async def test_no_field_of_ours_can_be_set(running: Running) -> None:
    """A field that makes a decision, or places a record, is not the caller's to state."""
    fields = {*DecisionBody.__struct_fields__, "prev", "seq", "ts", "source", "rule", "stream"}
    ours = sorted(fields - set(Reported.__struct_fields__))

    answer = await report(running, [login(**{name: "allow"}) for name in ours])

    errors = [(each["error"]["code"], each["error"]["field"]) for each in answer.body["events"]]
    assert (answer.status, errors) == (400, [("field_unknown", name) for name in ours])
    assert {"decision", "reason", "revision", "caller", "scopes", "granted_by"} <= set(ours)
    assert [event for event in await running.events(limit=50) if "source" in event] == []


async def test_a_decisions_id_cannot_be_taken(running: Running) -> None:
    """An event that claims the ID of a decision gets a record of another ID: the decision's stays the only one."""
    decision = (await running.check("GET", "/memory")).headers["x-decision-id"]

    answer = await report(running, login(decision))

    assert answer.body["events"][0]["record"] != decision
    assert [event["type"] for event in await running.events(limit=50) if event["id"] == decision] == [
        "security.failed_login"
    ]


async def test_the_same_batch_is_recorded_once(running: Running) -> None:
    """What is sent again is answered `duplicate` with the record it has, also inside one batch and at once."""
    batch = [login("a"), login("b"), login("a")]
    at_once = await asyncio.gather(*(report(running, batch) for _ in range(4)))
    later = await report(running, batch)

    outcomes = [[each["outcome"] for each in answer.body["events"]] for answer in (*at_once, later)]
    assert sorted(outcomes) == [["duplicate"] * 3] * 4 + [["recorded", "recorded", "duplicate"]]
    records = {(each["id"], each["record"]) for answer in (*at_once, later) for each in answer.body["events"]}
    assert len(records) == 2
    assert len(await running.events(type="auth.login")) == 2


async def test_another_callers_ids_are_its_own(start: Start) -> None:
    """Two callers may use the same ID: both events are recorded."""
    running = await start(callers=_callers("/v1/events", "/v1/events"))

    answers = [await report(running, login("same"), headers=_secret(name)) for name in ("one", "two")]

    assert [answer.body["recorded"] for answer in answers] == [1, 1]
    assert {event["source"] for event in await running.events(type="auth.login")} == {"one", "two"}


async def test_only_a_caller_that_may_report_reports(start: Start) -> None:
    """Nobody unknown is heard, nor a caller whose routes leave the path out."""
    running = await start(callers=_callers("/check/envoy", "/v1/events"))

    unknown = await report(running, login())
    forbidden = await report(running, login(), headers=_secret("one"))
    allowed = await report(running, login(), headers=_secret("two"))

    assert [(unknown.status, unknown.body["reason"]), (forbidden.status, forbidden.body["reason"]), allowed.status] == [
        (401, "caller_unauthenticated"),
        (403, "caller_forbidden"),
        200,
    ]


async def test_nothing_raw_of_a_person_is_written_down(running: Running) -> None:
    """Subject, session, resource, route parameters, unknown paths and free-form values are pseudonyms on disk."""
    event = outcome(
        "about-secret-alice",
        route="/memory/secret-memory",
        subject="secret-alice",
        session_id="secret-session",
        resource={"type": "photo", "id": "secret-photo"},
        context={"note": "secret-note", "secret-name@example.com": 4815162342},
    )
    answer = await report(running, [event, outcome("n-2", route="/nowhere/secret-path")])

    assert answer.body["recorded"] == 2
    on_disk = running.on_disk()
    assert "secret" not in on_disk
    assert "4815162342" not in on_disk
    matched = (await running.events(type="api.request", route="/memory/{id}"))[0]
    assert matched["params"] == {"id": running.pseudonym("secret-memory")}
    unmatched = (await running.events(type="api.request", limit=1))[0]
    assert (unmatched["route"], unmatched["path"]) == (
        None,
        f"/{running.pseudonym('nowhere')}/{running.pseudonym('secret-path')}",
    )


async def test_salts_hold_for_what_is_reported_too(start: Start) -> None:
    """Where each subject has a salt, an event has the pseudonym that the subject's decisions have."""
    running = await start(**{"audit.privacy": "salts"})
    await running.check("GET", "/memory", token=running.token("alice", "user_basic"))

    answer = await report(running, login(resource={"type": "photo", "id": "p"}))

    [decision] = await running.events(type="auth.scope_granted")
    [event] = await running.events(type="auth.login")
    assert answer.body["recorded"] == 1
    assert event["subject"] == decision["subject"]
    assert event["resource"]["id"].startswith("h1:")


async def test_outcomes_feed_metrics_of_their_own(running: Running) -> None:
    """A reported request is counted once under the policy's route, or `other`, and never as a request to us."""
    requests, durations = "authz_reported_requests_total", "authz_reported_request_duration_seconds"
    places = [
        (requests, {"route": "/memory/{id}", "method": "GET", "code": "2xx"}),
        (requests, {"route": "/memory/{id}", "method": "GET", "code": "5xx"}),
        (requests, {"route": "other", "method": "other", "code": "4xx"}),
        (f"{durations}_count", {"route": "/memory/{id}"}),
        (f"{durations}_sum", {"route": "other"}),
        ("authz_requests_total", {"route": "/memory/{id}", "method": "GET", "code": "200"}),
        ("authz_reported_events_total", {"type": "api.request", "outcome": "recorded"}),
        ("authz_reported_events_total", {"type": "api.request", "outcome": "duplicate"}),
        ("authz_reported_events_total", {"type": "other", "outcome": "refused"}),
        ("authz_reported_refused_total", {"code": "unknown_type"}),
    ]
    before = [running.counted(name, **labels) for name, labels in places]
    batch = [
        outcome("1", status=204),
        outcome("2", type="api.error", status=502, route="/memory/{id}"),
        outcome("3", route="/nowhere", method="BREW", status=418, duration_seconds=1.5),
        outcome("4", type="no.such"),
    ]

    await report(running, batch)
    await report(running, batch[:1])

    after = [running.counted(name, **labels) for name, labels in places]
    counted = [new - old for new, old in zip(after, before, strict=True)]
    assert counted == [1, 1, 1, 2, 1.5, 0, 2, 1, 1, 1]


async def test_a_call_that_cannot_be_taken_says_why(running: Running) -> None:
    """Too many events, too many bytes, no JSON and another method are refused as a whole."""
    url = f"{running.decision}/v1/events"
    answers = [
        await report(running, [login(str(each)) for each in range(MOST_REPORTED + 1)]),
        await report(running, b"[" + b" " * 70_000 + b"]"),
        await report(running, b"[{"),
        await running.send("GET", url),
        await report(running, b"{}", headers={"Content-Type": "text/plain"}),
    ]

    assert [(answer.status, answer.body["reason"]) for answer in answers] == [
        (413, "too_large"),
        (413, "too_large"),
        (400, "bad_request"),
        (405, "method_not_supported"),
        (400, "bad_request"),
    ]


@pytest.mark.parametrize("error", [AuditUnavailableError("gone"), OverloadedError("full")])
async def test_what_is_not_durable_is_not_acknowledged(
    running: Running, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """When the ledger fails the whole call is a 503 to be repeated; sent again, each event is recorded once."""
    ledger = running.pdp.decisions.ledger

    async def failing(_: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "record_reported", failing)
        refused = await report(running, [login("a"), login("b")])
    again = await report(running, [login("a"), login("b")])

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert again.body["recorded"] == 2
    assert len(await running.events(type="auth.login")) == 2


async def test_a_batch_in_doubt_is_looked_up_in_the_ledger(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger failed after it had the records, what is sent again is a duplicate."""
    ledger = running.pdp.decisions.ledger
    record_reported = ledger.record_reported  # type: ignore[attr-defined]

    async def recorded_and_failed(events: Any) -> None:
        await record_reported(events)
        raise AuditUnavailableError("the device answered late")

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "record_reported", recorded_and_failed)
        refused = await report(running, [login("a"), login("b")])
    again = await report(running, [login("a"), login("b"), login("c")])

    assert refused.status == 503
    assert [each["outcome"] for each in again.body["events"]] == ["duplicate", "duplicate", "recorded"]


async def test_a_batch_is_one_group_commit(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch goes to the ledger in one piece, in the order in which it was sent."""
    calls: list[list[str]] = []
    ledger = running.pdp.decisions.ledger
    record_reported = ledger.record_reported  # type: ignore[attr-defined]

    async def watched(events: Any) -> None:
        calls.append([event.type for event in events])
        await record_reported(events)

    monkeypatch.setattr(ledger, "record_reported", watched)
    types = ["user.created", "auth.login", "photos.shared"] * 30
    await report(running, [login(str(at), type=each) for at, each in enumerate(types)])

    assert calls == [types]


def _callers(*routes: str) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": name, "via": "bearer", "token_sha256": hashlib.sha256(name.encode()).hexdigest(), "routes": (route,)}
        for name, route in zip(("one", "two"), routes, strict=True)
    )


def _secret(name: str) -> dict[str, str]:
    return {"X-Authz-Caller-Token": name}
