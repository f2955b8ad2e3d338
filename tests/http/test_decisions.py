"""The decision listener: right answers, right statuses, and nothing believed that should not be."""

import asyncio
import contextlib
import gzip
import time
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest

from authz.core import AuditUnavailableError
from tests.http.conftest import Running, Start, before_records

SUBJECT = {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}}


def question(path: str = "/memory", method: str = "GET", subject: Any = SUBJECT, **more: Any) -> dict[str, Any]:
    """An AuthZEN evaluation of a route."""
    return {"subject": subject, "action": {"name": method}, "resource": {"type": "route", "id": path}, **more}


async def test_an_allow_and_a_deny_are_bare(running: Running) -> None:
    """An evaluation is answered with 200 and nothing but the decision, the same bytes every time."""
    allowed = [await running.evaluate(question()) for _ in range(3)]
    denied = [await running.evaluate(question("/admin/config", "PUT")) for _ in range(3)]

    assert [(a.status, a.body) for a in allowed] == [(200, {"decision": True})] * 3
    assert [(a.status, a.body) for a in denied] == [(200, {"decision": False})] * 3
    assert {a.headers["cache-control"] for a in allowed + denied} == {"no-store"}
    assert len({a.headers["x-decision-id"] for a in allowed + denied}) == 6


async def test_an_explanation_is_given_when_asked_for(running: Running) -> None:
    """`?explain=true` says which scopes were needed, which role granted them, under which revision, and in words."""
    answer = await running.evaluate(question(), "?explain=true")

    assert answer.body == {
        "decision": True,
        "context": {
            "id": answer.headers["x-decision-id"],
            "reason": "scope_granted",
            "scopes": ["memory:read"],
            "missing": [],
            "granted_by": {"memory:read": ["user_basic"]},
            "revision": running.pdp.policies.active.revision,
            "why": [
                "Allowed: GET /memory needs memory:read, which the subject holds.",
                "memory:read is held through user_basic > memory:read.",
            ],
        },
    }


async def test_every_answer_echoes_the_request_id(running: Running) -> None:
    """X-Request-ID comes back as it was sent, whatever the answer is."""
    sent = {"X-Request-ID": "req-1/"}
    answers = [
        await running.evaluate(question(), headers=sent),
        await running.evaluate(b"{", headers=sent),
        await running.check("GET", "/memory", headers=sent),
        await running.send("GET", f"{running.decision}/nowhere", headers=sent),
        await running.send("GET", f"{running.admin}/healthz", headers=sent),
    ]

    assert [(a.status, a.headers["x-request-id"]) for a in answers] == [
        (200, "req-1/"),
        (400, "req-1/"),
        (401, "req-1/"),
        (404, "req-1/"),
        (200, "req-1/"),
    ]


def _with(properties: bytes = b"{}", context: bytes = b"{}") -> bytes:
    subject = b'{"type":"u","id":"a","properties":' + properties + b"}"
    return b'{"subject":%b,"action":{"name":"x"},"resource":{"type":"r","id":"/"},"context":%b}' % (subject, context)


def _nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "The body is not valid JSON"),
    (b"{", "The body is not valid JSON"),
    (b"[]", "Expected `object`, got `array`"),
    (b'"text"', "Expected `object`, got `str`"),
    (b"null", "Expected `object`, got `null`"),
    (b"{}", "Object missing required field `subject`"),
    (b'{"subject":"alice","action":{"name":"GET"},"resource":{"type":"route","id":"/"}}', "subject: Expected"),
    (b'{"subject":{"type":"user"},"action":{"name":"GET"},"resource":{"type":"route","id":"/"}}', "subject: Object"),
    (b'{"subject":{"type":"u","id":7},"action":{"name":"GET"},"resource":{"type":"r","id":"/"}}', "subject.id: Exp"),
    (b'{"subject":{"type":"u","id":"a"},"action":{"name":1},"resource":{"type":"r","id":"/"}}', "action.name: Exp"),
    (b'{"subject":{"type":"u","id":"a"},"action":{},"resource":{"type":"r","id":"/"}}', "action: Object missing"),
    (b'{"subject":{"type":"u","id":"a"},"action":{"name":"x"},"resource":{"type":"r"}}', "resource: Object missing"),
    (
        b'{"subject":{"type":"u","id":"a","properties":[]},"action":{"name":"x"},"resource":{"type":"r","id":"/"}}',
        "subject.properties: Expected",
    ),
    (b'{"subject":{"type":"u","id":"\\ud800"},"action":{"name":"x"},"resource":{"type":"r","id":"/"}}', "The body is"),
    (b'{"subject":{"type":"u","id":"\xff"},"action":{"name":"x"},"resource":{"type":"r","id":"/"}}', "The body is not"),
    (_with(properties=b'{"roles":"admin"}'), "subject.properties.roles: must be an array of strings"),
    (_with(properties=b'{"scope_mode":"all"}'), "subject.properties.scope_mode: must be restrict, grant or ignore"),
    (_with(properties=b'{"token":1}'), "subject.properties.token: must be a string"),
    (_with(context=_nested(40)), "context is nested more than 32 deep"),
    (_with(context=_nested(8_000)), "The body is nested more than 32 deep"),
]


@pytest.mark.parametrize(("body", "says"), BAD_BODIES)
async def test_a_body_that_cannot_be_read_is_400_and_names_the_field(running: Running, body: bytes, says: str) -> None:
    """Malformed input is a 400 that names the field; it is counted, not recorded, and the next question works."""
    before = running.counted("authz_refusals_total", code="bad_request")
    recorded = len(await running.events())

    answer = await running.evaluate(body)

    assert (answer.status, answer.body["reason"], answer.body["detail"][: len(says)]) == (400, "bad_request", says)
    assert running.counted("authz_refusals_total", code="bad_request") == before + 1
    assert len(await running.events()) == recorded
    assert (await running.evaluate(question())).body == {"decision": True}


async def test_other_content_types_are_refused(running: Running) -> None:
    """Only application/json is read; a charset parameter does no harm."""
    answers = [
        await running.evaluate(question(), headers={"Content-Type": name})
        for name in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8")
    ]

    assert [a.status for a in answers] == [400, 400, 200]


async def test_unknown_members_and_nulls_do_no_harm(running: Running) -> None:
    """What AuthZEN does not name is ignored, and a null where something is optional is as good as nothing."""
    subject = {**SUBJECT, "nickname": "al"}
    answer = await running.evaluate({**question(subject=subject), "extra": [1], "context": None})

    assert (answer.status, answer.body) == (200, {"decision": True})


async def test_too_much_is_413(running: Running) -> None:
    """A body over the limit is refused unread."""
    answer = await running.evaluate(question(context={"filler": "x" * 70_000}))

    assert (answer.status, answer.body["reason"]) == (413, "too_large")


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("gzip", _gzipped(msgspec.json.encode(question())), (200, None)),
        ("identity", msgspec.json.encode(question()), (200, None)),
        ("gzip", _gzipped(b" " * 70_000), (413, "too_large")),
        ("gzip", msgspec.json.encode(question()), (400, "bad_request")),
        ("gzip", _gzipped(msgspec.json.encode(question()))[:-1], (400, "bad_request")),
        ("gzip", _gzipped(msgspec.json.encode(question())) * 2, (400, "bad_request")),
        ("gzip, gzip", _gzipped(_gzipped(msgspec.json.encode(question()))), (400, "bad_request")),
        ("deflate", zlib.compress(msgspec.json.encode(question())), (400, "bad_request")),
    ],
)
async def test_a_packed_body_counts_as_what_it_holds(
    running: Running, encoding: str, body: bytes, expected: tuple[int, str | None]
) -> None:
    """gzip is unpacked up to the limit; another encoding, or what is not one whole of it, is a 400."""
    answer = await running.evaluate(body, headers={"Content-Encoding": encoding})

    assert (answer.status, answer.body.get("reason")) == expected


async def test_nothing_is_unpacked_for_strangers(running: Running) -> None:
    """Gigabytes packed into megabytes hold up nobody else: a body that no handler reads is not unpacked."""
    block = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = block.compress(bytes(1)) + block.flush(zlib.Z_FULL_FLUSH)
    repeated = block.compress(bytes(1_000_000)) + block.flush(zlib.Z_FULL_FLUSH)
    packed = start + repeated * 8000
    head = "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    before = time.process_time()
    with contextlib.suppress(ConnectionError):  # the answer does not wait for all of it
        await running.raw(f"{head}Connection: close\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed)

    assert time.process_time() - before < 1  # of the processor, however busy the machine is


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_asks(running: Running, method: str) -> None:
    """Another method on an API path is 405, and told which it takes; another path is 404; nothing is decided."""
    wrong = await running.send(method, f"{running.decision}/access/v1/evaluation")
    nowhere = await running.send(method, f"{running.decision}/check/envoyevil")

    assert (wrong.status, wrong.headers.get("allow"), nowhere.status) == (405, "POST", 404)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"FOO /check/envoy/memory HTTP/1.1\r\nHost: a\r\n\r\n",
        b"get /check/envoy/memory HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /check/envoy/m\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /check/envoy/memory HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /check/envoy/memory HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 70_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"complete nonsense\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_counted(running: Running, request_bytes: bytes) -> None:
    """What the parser refuses is a 400, is counted as `unparsed`, repeats nothing, and the process lives."""
    before = running.counted("authz_refusals_total", code="unparsed")

    answer = await running.raw(request_bytes)

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b'"reason":"unparsed"' in answer
    assert running.counted("authz_refusals_total", code="unparsed") == before + 1
    assert (await running.evaluate(question())).body == {"decision": True}


_ASK = b" /check/envoy/memory HTTP/%b\r\nHost: api.test\r\n%b\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "connection"),
    [
        (b"GET" + _ASK % (b"1.1", b"Connection: close\r\n"), "close"),
        (b"GET" + _ASK % (b"1.0", b""), "close"),
        (b"GET" + _ASK % (b"1.0", b"Connection: keep-alive\r\n") + b"GET" + _ASK % (b"1.0", b""), "keep-alive"),
    ],
)
async def test_a_connection_ends_when_its_client_says_so(
    running: Running, request_bytes: bytes, connection: str
) -> None:
    """The reply says whether the connection stays, and it does as it says."""
    answer = await running.raw(request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    decided = answer.count(b"HTTP/1.1 401 Unauthorized\r\n")
    assert (status, decided) == ("HTTP/1.1 401 Unauthorized", request_bytes.count(b"GET"))
    assert fields.get("Connection") == connection
    assert body[: int(fields["Content-Length"])].endswith(b"}")
    assert parsedate_to_datetime(fields["Date"]).tzinfo is not None


async def test_head_is_answered_without_a_body(running: Running) -> None:
    """The reply to HEAD ends with its head, whatever was decided."""
    answer = await running.raw(b"HEAD" + _ASK % (b"1.1", b"Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert answer.endswith(b"\r\n\r\n")


async def test_every_reason_there_is_so_far(running: Running) -> None:
    """Each way to be denied has its status, its reason, its record and its count."""
    basic = running.token("alice", "user_basic")
    forged = f"{basic[:-30]}{basic[-30:-10].swapcase()}{basic[-10:]}"
    cases = [
        ("GET", "/memory", basic, 200, "scope_granted"),
        ("GET", "/health", None, 200, "public_route"),
        ("GET", "/memory", None, 401, "token_missing"),
        ("GET", "/memory", "junk", 401, "token_malformed"),
        ("GET", "/memory", forged, 401, "token_signature"),
        ("GET", "/memory", "x" * 9000, 401, "token_too_large"),
        ("PUT", "/admin/config", basic, 403, "scope_missing"),
        ("GET", "/users/bob/profile", basic, 403, "not_owner"),
        ("GET", "/memory", running.token("alice", "nobody_knows"), 403, "unknown_role"),
        ("GET", "/nowhere/at/all", basic, 403, "unmatched_route"),
        ("PATCH", "/memory", basic, 403, "method_not_allowed"),
        ("GET", "/memory//42", basic, 403, "ambiguous_path"),
    ]

    seen = []
    for method, path, token, _, _ in cases:
        answer = await running.check(method, path, token=token)
        event = (await running.events(limit=1))[0]
        assert event["id"] == answer.headers["x-decision-id"]
        seen.append((method, path, token, answer.status, event["reason"]))
        if answer.status != 200:
            assert answer.body["reason"] == event["reason"]

    assert seen == cases
    for _, _, _, status, reason in cases:
        outcome = "allow" if status == 200 else "deny"
        assert running.counted("authz_decisions_total", decision=outcome, reason=reason) >= 1


async def test_reasons_that_authzen_alone_can_meet(running: Running) -> None:
    """Scopes and foreign types as resources, and a token that belongs to someone else."""
    alice = {"type": "user", "id": "alice"}
    token = running.token("alice", "user_basic")

    async def reason(subject: dict[str, Any], resource: dict[str, str], action: str, **options: Any) -> str:
        body = {"subject": subject, "action": {"name": action}, "resource": resource}
        answer = await running.evaluate(body, "?explain=true", **options)
        return str(answer.body["context"]["reason"])

    assert [
        await reason(SUBJECT, {"type": "scope", "id": "memory:read"}, "use"),
        await reason(SUBJECT, {"type": "scope", "id": "admin:write"}, "use"),
        await reason(SUBJECT, {"type": "scope", "id": "no:such"}, "use"),
        await reason(SUBJECT, {"type": "document", "id": "7"}, "read"),
        await reason({"type": "user", "id": "mallory"}, {"type": "route", "id": "/memory"}, "GET", token=token),
        await reason(alice, {"type": "route", "id": "/memory"}, "GET", token=token),
    ] == [
        "scope_granted",
        "scope_missing",
        "unknown_scope",
        "unknown_resource_type",
        "subject_mismatch",
        "scope_granted",
    ]


async def test_a_token_cannot_be_talked_up(running: Running) -> None:
    """Roles and scopes beside a token count for nothing, even from a caller that may assert."""
    subject = {"type": "user", "id": "alice", "properties": {"roles": ["admin"], "scopes": ["admin:write"]}}
    answer = await running.evaluate(
        question("/admin/config", "PUT", subject), "?explain=true", token=running.token("alice", "user_basic")
    )

    assert (answer.body["decision"], answer.body["context"]["reason"]) == (False, "scope_missing")


async def test_nothing_raw_is_kept(running: Running) -> None:
    """No token, user id or parameter is found on disk, in the metrics or in an error message."""
    token = running.token("walburga@example.org", "user_basic", sid="session-4711")
    secrets = [
        token,
        token.split(".")[2],
        "walburga",
        "session-4711",
        "param-0815",
        "query-1234",
        "kunigunde",
        "ctx-99",
    ]
    answers = [
        await running.check("GET", "/memory/param-0815?q=query-1234", token=token),
        await running.check("GET", "/users/param-0815/profile", token=token),
        await running.check("GET", "/unknown/param-0815", token=token),
        await running.check("GET", "/users//param-0815", token=token),
        await running.check("GET", "/memory", token=f"{token}x"),
        await running.evaluate(question(subject={"type": "user", "id": "kunigunde"}, context={"k": "ctx-99"})),
        await running.evaluate({"subject": {"type": "user", "id": "kunigunde", "properties": {"token": [token]}}}),
        await running.send("GET", f"{running.decision}/{token}/walburga"),
    ]
    async with asyncio.timeout(10):
        metrics = (await running.send("GET", f"{running.admin}/metrics")).body.decode()

    kept = running.on_disk() + metrics + "".join(str(a.body) for a in answers)
    assert [secret for secret in secrets if secret in kept] == []
    assert "h1:" in kept


async def test_what_cannot_be_recorded_does_not_leave(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the ledger fails, the answer is 503 for allow and deny alike, and it is counted."""

    async def full_disk(_: int) -> None:
        raise AuditUnavailableError("no space left on device")

    before_records(monkeypatch, running.pdp._parts.writer, full_disk)
    answers = [
        await running.evaluate(question()),
        await running.evaluate(question("/admin/config", "PUT")),
        await running.check("GET", "/health"),
    ]

    assert [(a.status, a.body["reason"]) for a in answers] == [(503, "audit_unavailable")] * 3
    assert "no space" not in str(answers)
    monkeypatch.undo()
    assert (await running.evaluate(question())).body == {"decision": True}


async def test_an_internal_fault_is_503(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw is a 503 without a word of it, never an allow."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("authz.core.pipeline.locate", broken)
    answers = [await running.evaluate(question()), await running.check("GET", "/health")]

    assert [(a.status, a.body["reason"], a.body["detail"]) for a in answers] == [
        (503, "internal", "The service could not decide.")
    ] * 2


async def test_callers_are_told_apart(start: Start) -> None:
    """A caller known by its secret may do what its entry says, an unknown one nothing."""
    running = await start(
        callers=[
            {
                "name": "portal",
                "via": "bearer",
                "token_sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
                "routes": ["/access/v1/evaluation"],
            },
            {"name": "envoy", "via": "unix"},
        ]
    )
    secret = {"X-Authz-Caller-Token": "secret"}

    stranger = await running.evaluate(question())
    known = await running.evaluate(question(), headers=secret)
    by_authorization = await running.evaluate(question(), headers={"Authorization": "Bearer secret"})
    elsewhere = await running.check("GET", "/health", headers=secret)
    curious = await running.evaluate(question(), "?explain=true", headers=secret)
    with_token = await running.evaluate(question(), headers=secret, token=running.token("alice", "user_basic"))

    assert [(a.status, a.body.get("reason")) for a in (stranger, elsewhere, curious)] == [
        (401, "caller_unauthenticated"),
        (403, "caller_forbidden"),
        (403, "caller_forbidden"),
    ]
    # It may not assert, so without a token there is nobody.
    assert [a.body for a in (known, by_authorization, with_token)] == [
        {"decision": False},
        {"decision": False},
        {"decision": True},
    ]
    assert [event["reason"] for event in await running.events(limit=3)] == [
        "scope_granted",
        "token_missing",
        "token_missing",
    ]


async def test_a_broken_ledger_does_not_hold_up_the_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shutting down with a ledger that takes nothing any more still ends, and stops verifying tokens."""
    running = await start()

    async def broken(_: object) -> None:
        raise AuditUnavailableError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(running.pdp._parts.writer, "record", broken)
        await running.pdp.close("test")

    assert running.pdp._parts.verifier.status() == ()
