"""Decisions over WebSocket: the right answer to the right message, and nothing kept, lost or believed wrongly."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest

from authz.core import AuditUnavailableError
from tests.http.conftest import Running, Start, before_records
from tests.http.streaming import stream
from tests.http.test_decisions import SUBJECT, question

DENIED = {"subject": SUBJECT, "action": {"name": "PUT"}, "resource": {"type": "route", "id": "/admin/config"}}
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "authz.v1",
}


def about(token: str, path: str = "/memory") -> dict[str, Any]:
    """An evaluation that brings its token."""
    return question(path, subject={"type": "user", "id": "", "properties": {"token": token}})


def error(status: int, code: str, message: str) -> dict[str, Any]:
    """What stands where there is no answer."""
    return {"decision": False, "context": {"error": {"status": status, "code": code, "message": message}}}


async def ended(running: Running, count: int = 1) -> list[dict[str, Any]]:
    """The records of so many ended streams, oldest first."""
    for _ in range(200):
        found = await running.events(type="ws.disconnect")
        if len(found) >= count:
            break
        await asyncio.sleep(0.05)
    every = reversed(await running.events(limit=1000))
    return [each for each in every if each["type"].startswith("ws.")]


async def test_each_message_gets_its_own_answer(running: Running) -> None:
    """Evaluations and batches are answered under their ids, bare unless the decision's id is asked for."""
    async with stream(running.decision) as client:
        allowed = await client.ask(id=1, evaluation=question())
        denied = await client.ask(id=2, evaluation=DENIED)
        named = await client.ask(id=3, evaluation=question(), decision_id=True)
        items = [{"resource": {"type": "route", "id": "/memory"}}, {}]
        batch = {"subject": SUBJECT, "action": {"name": "GET"}, "evaluations": items}
        many = await client.ask(id=4, evaluations=batch, decision_id=True)
        single = await client.ask(id=5, evaluations=question())

    assert allowed == {"id": 1, "decision": True}
    assert denied == {"id": 2, "decision": False}
    assert named == {"id": 3, "decision": True, "decision_id": named["decision_id"]}
    missing = error(400, "bad_request", "resource: required, and there is no default")
    assert many == {"id": 4, "evaluations": [{"decision": True}, missing], "decision_id": many["decision_id"]}
    assert single == {"id": 5, "decision": True}
    records = [each for each in await running.events() if each.get("channel") == "ws"]
    assert len(records) == 5
    assert {named["decision_id"], f"{many['decision_id']}.0"} <= {each["id"] for each in records}


async def test_what_a_stream_comes_to_is_recorded_once(running: Running) -> None:
    """A stream leaves its beginning, one summary and its end; its decisions carry its name as their request id."""
    before = running.counted("authz_ws_messages_total", kind="evaluation", outcome="ok")
    async with stream(running.decision, {"X-Authz-Client-IP": "192.0.2.7"}) as client:
        await client.ask(id=1, evaluation=question())
        await client.ask(id=2, evaluation=DENIED)
        await client.ask(id=3, evaluation={})
        assert running.counted("authz_ws_open_connections") == 1
    connect, sent, disconnect = await ended(running)

    assert [each["type"] for each in (connect, sent, disconnect)] == ["ws.connect", "ws.message_sent", "ws.disconnect"]
    name = connect["connection"]
    assert (connect["caller"], connect["ip"]) == ("dev-loopback", "192.0.2.7")
    assert {key: sent[key] for key in ("caller", "connection", "sent", "errors", "unsent")} == {
        "caller": "dev-loopback",
        "connection": name,
        "sent": {"evaluation": 3},
        "errors": 1,
        "unsent": 0,
    }
    assert (disconnect["connection"], disconnect["code"]) == (name, 1000)
    decisions = [each for each in await running.events() if each.get("channel") == "ws"]
    assert {(each["request_id"], each["ip"]) for each in decisions} == {(name, "192.0.2.7")}
    assert running.counted("authz_ws_messages_total", kind="evaluation", outcome="ok") == before + 2
    assert running.counted("authz_ws_open_connections") == 0
    assert running.counted("authz_requests_total", route="/v1/stream", method="GET", code="1xx") >= 1


async def test_every_handshake_that_is_none_is_refused(running: Running) -> None:
    """No subprotocol, no upgrade, another version, another method, a browser: each is told what is wrong."""
    url = f"{running.decision}/v1/stream"

    def without(name: str) -> dict[str, str]:
        return {key: value for key, value in HANDSHAKE.items() if key != name}

    answers = [
        await running.send("GET", url, headers=without("Sec-WebSocket-Protocol")),
        await running.send("GET", url, headers=without("Upgrade")),
        await running.send("GET", url, headers={**HANDSHAKE, "Sec-WebSocket-Version": "12"}),
        await running.send("GET", url, headers={**HANDSHAKE, "Sec-WebSocket-Key": "short"}),
        await running.send("POST", url, headers=HANDSHAKE),
        await running.send("GET", url, headers={**HANDSHAKE, "Origin": "https://evil.example"}),
    ]

    handshake = "Upgrade: must be a WebSocket handshake of version 13 (RFC 6455 section 4.2.1)"
    assert [(a.status, a.body["reason"], a.body["detail"]) for a in answers] == [
        (400, "bad_request", "Sec-WebSocket-Protocol: must offer authz.v1"),
        (400, "bad_request", handshake),
        (400, "bad_request", handshake),
        (400, "bad_request", handshake),
        (405, "method_not_supported", "POST is not supported here; use GET"),
        (403, "caller_forbidden", "Origin: browsers may not open streams"),
    ]
    assert await running.events(type="ws.connect") == []


async def test_answers_that_go_on_carry_what_every_answer_does(running: Running) -> None:
    """The reply to a handshake and a tail of the ledger echo the request id, are not stored, and do not boast."""
    asked = {"X-Request-ID": "r-1"}
    token = {"Authorization": f"Bearer {running.token('root', 'admin_readonly')}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.decision}/v1/stream", headers=HANDSHAKE | asked) as handshake,
        session.get(f"{running.admin}/v1/audit/tail", headers=token | asked) as tail,
    ):
        found = [
            (reply.status, *(reply.headers.get(name) for name in ("X-Request-ID", "Cache-Control", "Server")))
            for reply in (handshake, tail)
        ]

    assert found == [(101, "r-1", "no-store", "authz"), (200, "r-1", "no-store", "authz")]


async def test_a_stranger_gets_no_stream(start: Start) -> None:
    """Who may open a stream is decided as for every route: by `[[callers]]` and their routes."""
    running = await start(callers=[{"name": "edge", "via": "loopback", "routes": ["/check/envoy"]}])
    answer = await running.send("GET", f"{running.decision}/v1/stream", headers=HANDSHAKE)

    assert (answer.status, answer.body["reason"]) == (403, "caller_forbidden")


async def test_a_stream_that_cannot_be_recorded_is_not_opened(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a durable `ws.connect` there is no stream: 503."""

    async def fails(_: int) -> None:
        raise AuditUnavailableError("the disk is gone")

    before_records(monkeypatch, running.pdp.decisions.ledger, fails)
    answer = await running.send("GET", f"{running.decision}/v1/stream", headers=HANDSHAKE)

    assert (answer.status, answer.body["reason"]) == (503, "audit_unavailable")
    assert running.counted("authz_ws_open_connections") == 0


@pytest.mark.slow
async def test_only_so_many_streams_are_open(start: Start) -> None:
    """Over `stream.connections` the next one is 503, and its place is free again when another ends."""
    running = await start(**{"stream.connections": 1})
    async with stream(running.decision) as client:
        await client.ask(id=1, evaluation=question())
        refused = await running.send("GET", f"{running.decision}/v1/stream", headers=HANDSHAKE)
    await ended(running)
    async with stream(running.decision) as client:
        again = await client.ask(id=1, evaluation=question())

    assert (refused.status, refused.body["reason"], again["decision"]) == (503, "overloaded", True)


BAD_MESSAGES: list[tuple[str, int | None, str]] = [
    ("{", None, "The message is not valid JSON"),
    ("[]", None, "Expected `object`, got `array`"),
    ("{}", None, "Object missing required field `id`"),
    ('{"id":"1"}', None, "id: Expected `int`, got `str`"),
    ('{"id":-1}', None, "id: Expected `int` >= 0"),
    ('{"id":9007199254740992}', None, "id: Expected `int` <= 9007199254740991"),
    ('{"id":7}', 7, "Exactly one of evaluation, evaluations, subscribe, unsubscribe is required"),
    ('{"id":7,"evaluation":null}', 7, "Exactly one of"),
    ('{"id":7,"evaluation":{},"subscribe":{}}', 7, "Exactly one of"),
    ('{"id":7,"unsubscribe":1}', 7, "unsubscribe: Expected `bool`, got `int`"),
    ('{"id":7,"evaluation":[]}', 7, "Expected `object`, got `array`"),
    ('{"id":7,"evaluation":{"subject":{"type":1}}}', 7, "subject.type: Expected `str`, got `int`"),
    ('{"id":7,"subscribe":{}}', 7, "Object missing required field `subject`"),
    ('{"id":7,"unsubscribe":true}', 7, "unsubscribe: 7 is no subscription of this stream"),
    ('{"id":7,"evaluations":{"evaluations":1}}', 7, "evaluations: Expected `array | null`, got `int`"),
]


async def test_every_bad_message_is_an_error_of_its_own(running: Running) -> None:
    """A message that cannot be read is answered with the field that is wrong, and the stream goes on."""
    answers = []
    async with stream(running.decision) as client:
        for text, _, _ in BAD_MESSAGES:
            await client.socket.send_str(text)
            answers.append(await client.next())
        good = await client.ask(id=7, evaluation=question())

    for answer, (text, number, message) in zip(answers, BAD_MESSAGES, strict=True):
        found = answer["context"]["error"]
        said = (answer["id"], answer["decision"], found["status"], found["code"])
        assert said == (number, False, 400, "bad_request"), text
        assert found["message"].startswith(message), text
    assert good == {"id": 7, "decision": True}


async def test_an_id_in_use_is_refused_and_never_answered_for_another(running: Running) -> None:
    """A second message under an id that is awaited or subscribed is refused without an id: no answer is mistaken."""
    ledger = running.pdp.decisions.ledger
    held = asyncio.Event()

    async def slow(_: int) -> None:
        await held.wait()

    async with stream(running.decision) as client:
        with pytest.MonkeyPatch.context() as patch:
            before_records(patch, ledger, slow)
            await client.send(id=1, evaluation=question())
            twice = await client.ask(id=1, evaluation=DENIED)
            unreadable = await client.ask(id=1, evaluation=question(), subscribe=question())
            held.set()
            first = await client.next()
        await client.ask(id=2, subscribe=question())
        standing = await client.ask(id=2, evaluation=DENIED)

    refused = error(400, "bad_request", "id: 1 is in use on this stream")
    assert twice == {"id": None, **refused}
    assert unreadable["id"] is None
    assert first == {"id": 1, "decision": True}
    assert standing == {"id": None, **error(400, "bad_request", "id: 2 is in use on this stream")}


async def test_no_more_than_stated_is_begun_with(start: Start) -> None:
    """With `stream.in_flight` messages unanswered no more is read; when they are answered, it goes on, none lost."""
    running = await start(**{"stream.in_flight": 3})
    ledger = running.pdp.decisions.ledger
    held, begun = asyncio.Event(), 0

    async def slow(records: int) -> None:
        nonlocal begun
        begun += records
        await held.wait()

    async with stream(running.decision) as client:
        with pytest.MonkeyPatch.context() as patch:
            before_records(patch, ledger, slow)
            for number in range(50):
                await client.send(id=number, evaluation=question() if number % 3 else DENIED)
            await asyncio.sleep(0.3)
            waiting = begun
            held.set()
            answers = [await client.next() for _ in range(50)]

    assert waiting == 3
    assert {each["id"]: each["decision"] for each in answers} == {n: bool(n % 3) for n in range(50)}


async def test_streams_wait_for_the_ledger_together(start: Start) -> None:
    """More messages than the ledger's queue takes are read later, on however many streams: none is 503."""
    running = await start(**{"audit.queue_records": 16})
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stream(running.decision)) for _ in range(8)]
        for number in range(50):
            for client in clients:
                await client.send(id=number, evaluation=question())
        answers = [await client.next() for client in clients for _ in range(50)]

    assert [each for each in answers if each != {"id": each["id"], "decision": True}] == []


async def test_a_token_is_the_messages_own_or_the_handshakes(running: Running) -> None:
    """A message's token counts before the handshake's; without any, a caller's word or nobody's."""
    alice, admin = running.token("alice", "user_basic"), running.token("root", "admin")
    nobody = {"type": "user", "id": ""}
    config = question("/admin/config", "PUT", nobody)
    async with stream(running.decision, {"Authorization": f"Bearer {alice}"}) as client:
        hers = await client.ask(id=1, evaluation=question(subject=nobody))
        not_hers = await client.ask(id=2, evaluation=config)
        own = {"type": "user", "id": "", "properties": {"token": admin}}
        others = await client.ask(id=3, evaluation={**config, "subject": own})
        mismatch = await client.ask(id=4, evaluation=question(subject={"type": "user", "id": "bob"}))

    assert [each["decision"] for each in (hers, not_hers, others, mismatch)] == [True, False, True, False]
    reasons = [each["reason"] for each in await running.events() if each.get("channel") == "ws"]
    assert reasons == ["subject_mismatch", "scope_granted", "scope_missing", "scope_granted"]
    assert alice not in running.on_disk()


async def test_an_undecided_answer_is_an_error_of_its_item(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be recorded is a denial with 503, and the stream goes on; a subscription does not stand on it."""

    async def fails(_: int) -> None:
        raise AuditUnavailableError("the disk is gone")

    async with stream(running.decision) as client:
        with monkeypatch.context() as patch:
            before_records(patch, running.pdp.decisions.ledger, fails)
            failed = await client.ask(id=1, evaluation=question())
            not_standing = await client.ask(id=2, subscribe=question())
        again = await client.ask(id=2, subscribe=question())

    unavailable = error(503, "audit_unavailable", "The decision could not be recorded.")
    assert (failed, not_standing) == ({"id": 1, **unavailable}, {"id": 2, **unavailable})
    assert again == {"id": 2, "decision": True}


@pytest.mark.parametrize(
    ("sent", "code", "fault"),
    [(b"\x00", 1003, "binary"), ("x" * 70_000, 1009, "message_too_large")],
    ids=["binary", "too large"],
)
async def test_what_is_no_message_ends_the_stream(running: Running, sent: str | bytes, code: int, fault: str) -> None:
    """Binary data and messages over `limits.body_bytes` close the stream, with the code that says why."""
    async with stream(running.decision) as client:
        await (client.socket.send_bytes(sent) if isinstance(sent, bytes) else client.socket.send_str(sent))
        closed = await client.closed()
    found = [(each["type"], each.get("reason"), each.get("code")) for each in await ended(running)]

    assert closed == code
    assert found[2:] == [("ws.error", fault, code), ("ws.disconnect", None, code)]


async def test_text_that_is_no_text_ends_the_stream(running: Running) -> None:
    """Invalid UTF-8 closes with 1007 (RFC 6455 section 8.1)."""
    async with stream(running.decision) as client:
        await client.socket.send_frame(b'{"id":1,"x":"\xff"}', aiohttp.WSMsgType.TEXT)
        assert await client.closed() == 1007


async def test_answers_in_flight_are_sent_before_the_end(running: Running) -> None:
    """On shutdown what was asked is answered, what comes later is not begun with, and the stream ends with 1001."""
    ledger = running.pdp.decisions.ledger
    held = asyncio.Event()

    async def slow(_: int) -> None:
        await held.wait()

    async with stream(running.decision) as client:
        await client.ask(id=0, subscribe=question())
        with pytest.MonkeyPatch.context() as patch:
            before_records(patch, ledger, slow)
            await client.send(id=1, evaluation=question())
            await asyncio.sleep(0.2)
            stopping = asyncio.create_task(running.listeners.close())
            await asyncio.sleep(0.2)
            held.set()
            answer, code = await client.next(), await client.closed()
            await stopping

    assert (answer, code) == ({"id": 1, "decision": True}, 1001)
    assert [(each["type"], each.get("code")) for each in await ended(running)][-1] == ("ws.disconnect", 1001)


async def test_a_client_that_vanishes_costs_nothing(running: Running) -> None:
    """A connection that breaks ends its stream with 1006, subscriptions and all."""
    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=question())
        client.socket._writer.transport.abort()
        found = await ended(running)

    assert (found[-1]["type"], found[-1]["code"]) == ("ws.disconnect", 1006)
    assert running.counted("authz_ws_open_subscriptions") == 0
    assert running.counted("authz_ws_open_connections") == 0


async def test_a_client_that_does_not_answer_pings_is_closed(start: Start) -> None:
    """Without a sign of life for one and a half `stream.ping_seconds` the stream is over."""
    running = await start(**{"stream.ping_seconds": 0.4})
    async with stream(running.decision, autoping=False) as client:
        await client.socket.receive()
        found = await ended(running)

    assert [(each["type"], each.get("reason")) for each in found][2] == ("ws.error", "no_pong")


@pytest.mark.slow
async def test_a_client_that_stops_reading_is_cut_off_and_holds_up_nobody(start: Start) -> None:
    """Answers that are not taken for `stream.slow_seconds` end the stream; the others are answered meanwhile."""
    running = await start(**{"stream.slow_seconds": 1.0})
    item = {"resource": {"type": "route", "id": "/memory"}}
    batch = {"subject": {"type": "user"}, "action": {"name": "GET"}, "evaluations": [item] * 400}
    async with stream(running.decision) as other, stream(running.decision) as deaf:
        transport = deaf.socket._writer.transport
        transport.pause_reading()
        flooding = asyncio.create_task(_flood(deaf.socket, batch))
        answers, found = 0, list[dict[str, Any]]()
        while not found:
            answers += (await other.ask(id=answers, evaluation=question()))["decision"]
            found = await running.events(type="ws.error")
        flooding.cancel()
        transport.abort()

    assert (found[0]["reason"], found[0]["code"]) == ("slow_reader", 1013)
    assert answers > 1


async def _flood(socket: aiohttp.ClientWebSocketResponse, batch: dict[str, Any]) -> None:
    number = 0
    while not socket.closed:
        number += 1
        await socket.send_str(msgspec.json.encode({"id": number, "evaluations": batch}).decode())
        await asyncio.sleep(0)
