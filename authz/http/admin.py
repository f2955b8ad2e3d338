"""The admin listener: health, metrics, catalogue, policy and audit. All but health is guarded, and use is recorded."""

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from authz import __version__, log, slos
from authz.core import (
    AccessRequest,
    Action,
    BadRequestError,
    BearerToken,
    Caller,
    DecisionPoint,
    Entity,
    Event,
    Kind,
    shortened,
)
from authz.gateways import Provenance, Reply, RequestHead, bearer_token, correlation, problem, single
from authz.http.answers import only_get, only_post, read_body, refused, response, shown
from authz.http.asking import written
from authz.http.audit_search import SearchRoutes
from authz.http.callers import is_loopback, peer_address
from authz.http.erasure import ErasureRoute
from authz.http.errors import MethodNotSupportedError, NotFoundError
from authz.http.ledger import EVENT, LOG, PROOF, LedgerRoutes
from authz.http.openapi import PATH as OPENAPI
from authz.http.openapi import Operation, admin_document
from authz.http.policy import EXPLAIN, PolicyRoutes
from authz.http.revocations import PATH as REVOCATIONS
from authz.http.revocations import RevocationRoutes
from authz.metrics import BREAK_GLASS_TOTAL, render
from authz.pdp import Pdp

_ADMIN = Caller("admin")
_Body = TypeVar("_Body", bound=Struct)


class Pass(NamedTuple):
    """Who was let through: a subject's pseudonym or who broke the glass; empty for a scrape that needs no token."""

    who: str = ""


class Row(NamedTuple):
    """One admin route: the scope it takes (None: open; `metrics`: as the scrape rule says)."""

    scope: str | None
    answer: Callable[[RequestHead], Awaitable[Reply]]


class Act(NamedTuple):
    """One admin route that changes something: the scope it takes, and what it does with the body, for whom.

    `in_emergency`: it is let through also while the ledger fails: what it is for may be that very failure.
    """

    scope: str
    act: Callable[[bytes, str], Awaitable[Reply]]
    in_emergency: bool = True


class ByMethod(NamedTuple):
    """What one method does at an admin route of several, for whom; also while the ledger fails."""

    scope: str
    act: Callable[[RequestHead, bytes, str], Awaitable[Reply]]
    has_body: bool = False


class Stream(NamedTuple):
    """One admin route whose answer does not end by itself: the scope it takes, and what sends it."""

    scope: str
    send: Callable[[RequestHead, web.BaseRequest], Awaitable[Reply | web.StreamResponse]]


def _read_operation(path: str, row: Row | Stream) -> Operation:
    guarded = () if row.scope is None else (401, 403, 429)
    statuses = tuple(sorted({200, 400, 405, 503, *guarded, *((404,) if "{path}" in path else ())}))
    answers = row.send if isinstance(row, Stream) else row.answer
    summary = (answers.__doc__ or path).partition("\n")[0]
    scope = "admin:metrics:read" if row.scope == "metrics" else row.scope
    return Operation(path, "get", summary, statuses, None, scope=scope)


class AdminListener:
    """Serves operators and scrapers. It has no part in decisions for gateways."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp
        self._break_glass = {each.sha256: each.name for each in pdp.settings.admin.tokens}
        self._scraping = asyncio.Lock()
        ledger = LedgerRoutes(pdp)
        self._search = SearchRoutes(pdp)
        policy = PolicyRoutes(pdp)
        self._routes: dict[str, Row] = {
            "/healthz": Row(None, self._healthz),
            "/readyz": Row(None, self._readyz),
            "/metrics": Row("metrics", self._metrics),
            "/v1/slo": Row("admin:metrics:read", self._slo),
            "/v1/catalogue": Row("admin:metrics:read", self._catalogue),
            "/v1/policy": Row("admin:security:read", policy.status),
            "/v1/policy/bundle": Row("admin:security:read", policy.bundle),
            "/v1/policy/matrix": Row("admin:security:read", policy.matrix),
            "/v1/audit/events": Row("admin:audit:read", self._search.events),
            "/v1/audit/integrity": Row("admin:audit:read", self._integrity),
            "/v1/audit/checkpoint": Row("admin:audit:read", ledger.checkpoint),
        }
        self._below: dict[str, Row] = {
            EVENT: Row("admin:audit:read", ledger.event),
            LOG: Row("admin:audit:read", ledger.log),
            PROOF: Row("admin:audit:read", ledger.proof),
            EXPLAIN: Row("admin:security:read", policy.explain),
        }
        self._streams: dict[str, Stream] = {"/v1/audit/tail": Stream("admin:audit:read", self._search.tail)}
        self._acts: dict[str, Act] = {
            "/v1/audit/degrade": Act("admin:security:write", self._degrade),
            "/v1/audit/search": Act("admin:audit:read", self._search.search, in_emergency=False),
            "/v1/audit/erase": Act("admin:security:write", ErasureRoute(pdp).erase),
            "/v1/log/level": Act("admin:security:write", self._log_level),
            "/v1/policy/activate": Act("admin:security:write", policy.activate),
            "/v1/policy/rollback": Act("admin:security:write", policy.rollback),
        }
        revocations = RevocationRoutes(pdp)
        self._by_method: dict[str, dict[str, ByMethod]] = {
            REVOCATIONS: {
                "GET": ByMethod("admin:security:write", lambda head, _body, _who: revocations.listed(head)),
                "POST": ByMethod("admin:security:write", lambda _head, body, who: revocations.revoke(body, who), True),
                "DELETE": ByMethod("admin:security:write", lambda head, _body, who: revocations.lift(head, who)),
            }
        }
        self._document = admin_document(self.operations())
        self._routes[OPENAPI] = Row(None, self._openapi)

    def operations(self) -> Iterator[Operation]:
        """What this listener does, for its OpenAPI document."""
        for path, row in self._routes.items():
            yield _read_operation(path, row)
        for prefix, row in self._below.items():
            yield _read_operation(f"{prefix}{{path}}", row)
        for path, stream in self._streams.items():
            yield _read_operation(path, stream)
        for path, methods in self._by_method.items():
            for name, each in methods.items():
                sent: dict[str, Any] | None = {"type": "object"} if each.has_body else None
                codes = (200, 400, 401, 403, 404, 405, 413, 429, 503)
                yield Operation(path, name.lower(), path, codes, sent, {"type": "object"}, scope=each.scope)
        for path, act in self._acts.items():
            statuses = (200, 400, 401, 403, 405, 413, 429, 503)
            yield Operation(path, "post", path, statuses, {"type": "object"}, {"type": "object"}, scope=act.scope)

    async def close(self) -> None:
        """End the answers that do not end by themselves."""
        self._search.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever is not expected is a 503."""
        head = RequestHead(request.method, request.raw_path, request.headers)
        try:
            reply = await self._answer(head, request)
            if isinstance(reply, web.StreamResponse):
                return reply
        except Exception as error:  # noqa: BLE001 - as in the decision listener: the unexpected is a 503
            reply = refused(head, error, self._pdp.meter.refused)
        return response(reply, head)

    async def _answer(self, head: RequestHead, request: web.BaseRequest) -> Reply | web.StreamResponse:
        path = head.target.partition("?")[0]
        act = self._acts.get(path)
        if act is not None:
            return await self._acted(head, request, act)
        methods = self._by_method.get(path)
        if methods is not None:
            return await self._by_its_method(head, request, methods)
        stream = self._streams.get(path)
        if stream is not None:
            return await self._streamed(head, request, stream)
        row = self._routes.get(path) or self._row_below(path)
        if row is None:
            raise NotFoundError(f"There is nothing at {shown(path)}")
        only_get(head)
        if row.scope is not None:
            found = await self._guarded(head, request, row.scope, self._pdp.decisions)
            if isinstance(found, Reply):
                return found
        return await row.answer(head)

    def _row_below(self, path: str) -> Row | None:
        """The route that takes whatever follows its own path."""
        return next((row for prefix, row in self._below.items() if path.startswith(prefix) and path != prefix), None)

    async def _streamed(
        self, head: RequestHead, request: web.BaseRequest, stream: Stream
    ) -> Reply | web.StreamResponse:
        if head.method != "GET":
            raise MethodNotSupportedError(head.method, "GET")
        found = await self._guarded(head, request, stream.scope, self._pdp.decisions)
        return found if isinstance(found, Reply) else await stream.send(head, request)

    async def _by_its_method(self, head: RequestHead, request: web.BaseRequest, methods: dict[str, ByMethod]) -> Reply:
        each = methods.get(head.method)
        if each is None:
            raise MethodNotSupportedError(head.method, *methods)
        found = await self._guarded(head, request, each.scope, self._pdp.emergency)
        if isinstance(found, Reply):
            return found
        return await each.act(head, await read_body(request) if each.has_body else b"", found.who)

    async def _acted(self, head: RequestHead, request: web.BaseRequest, act: Act) -> Reply:
        only_post(head)
        decisions = self._pdp.emergency if act.in_emergency else self._pdp.decisions
        found = await self._guarded(head, request, act.scope, decisions)
        if isinstance(found, Reply):
            return found
        return await act.act(await read_body(request), found.who)

    async def _guarded(
        self, head: RequestHead, request: web.BaseRequest, scope: str, decisions: DecisionPoint
    ) -> Reply | Pass:
        """The denial, or who may pass. A scrape that needs no token is not recorded; all else is."""
        token = bearer_token(head.headers)
        if scope == "metrics":
            if self._may_scrape(request, token):
                return Pass()
            scope = "admin:metrics:read"
        whence = _whence(head, request)
        name = self._breaks_glass(request, token)
        if name is not None:
            body = _broken_glass(name, scope, head) | written(whence, decisions.fields)
            event = Event(self._pdp.new_id(), "admin.access", body)
            BREAK_GLASS_TOTAL.inc()
            await decisions.ledger.record(event)
            return Pass(name)
        decision = await decisions.decide(_asked(scope, token, whence), audit_as="admin.access")
        if decision.allow:
            return Pass(decision.subject.pseudonym or "")
        return problem(head, decision, decision.kind.value if decision.kind is not Kind.ALLOW else 503)

    def _may_scrape(self, request: web.BaseRequest, token: BearerToken | None) -> bool:
        peer = request.protocol.peername
        if peer is not None and (not isinstance(peer, tuple) or is_loopback(peer[0])):
            return True
        digest = self._pdp.scrape_digest
        return digest is not None and token is not None and _digest(token) == digest

    def _breaks_glass(self, request: web.BaseRequest, token: BearerToken | None) -> str | None:
        """Who breaks the glass: a configured admin token, or this service's own user on the Unix socket."""
        if token is not None:
            return self._break_glass.get(_digest(token))
        return _same_user(request)

    async def _openapi(self, _head: RequestHead) -> Reply:
        return Reply(200, {"Content-Type": "application/json"}, self._document)

    async def _healthz(self, _head: RequestHead) -> Reply:
        return _json({"status": "ok"})

    async def _readyz(self, _head: RequestHead) -> Reply:
        checks = self._pdp.readiness()
        ready = all(check.ok for check in checks)
        document = {
            "ready": ready,
            "version": __version__,
            "revision": self._pdp.policies.active.revision,
            "checks": {check.name: msgspec.to_builtins(check) for check in checks},
        }
        return _json(document, 200 if ready else 503)

    async def _metrics(self, head: RequestHead) -> Reply:
        body, content_type = await self._scraped(",".join(head.headers.getall("Accept", [])))
        return Reply(200, {"Content-Type": content_type}, body)

    async def _scraped(self, accept: str) -> tuple[bytes, str]:
        async with self._scraping:  # One after the other: each shows one moment.
            self._pdp.refresh_gauges()
            return await render(accept)

    async def _slo(self, _head: RequestHead) -> Reply:
        text, _ = await self._scraped("")
        return _json(slos.as_dict(await asyncio.to_thread(slos.judge_text, text.decode())))

    async def _catalogue(self, _head: RequestHead) -> Reply:
        policy = self._pdp.policies.active
        return _json({"revision": policy.revision, **msgspec.to_builtins(policy.catalogue)})

    async def _degrade(self, body: bytes, who: str) -> Reply:
        asked = _decoded(body, Degrade)
        return _json({"until": await self._pdp.degrade(asked.seconds, asked.reason, who), "by": who})

    async def _log_level(self, body: bytes, who: str) -> Reply:
        level = _decoded(body, LogLevel).level
        # Recorded, or owed, before it works: a log that falls silent must not be the only one to know why.
        changed = {"key": "log.level", "value": level, "by": who}
        await self._pdp.emergency.ledger.record(Event(self._pdp.new_id(), "admin.config_changed", changed))
        log.set_level(level)
        return _json({"level": level, "by": who})

    async def _integrity(self, _head: RequestHead) -> Reply:
        valid, issues = await asyncio.to_thread(self._pdp.audit_integrity)
        return _json({"valid": valid, "issues": [msgspec.to_builtins(issue) for issue in issues]})


class Degrade(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/audit/degrade`."""

    seconds: float
    reason: str


class LogLevel(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/log/level`."""

    level: Literal["debug", "info", "warning", "error"]


def _decoded(body: bytes, shape: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"body: {error}") from None


def _whence(head: RequestHead, request: web.BaseRequest) -> Provenance:
    """Where a request comes from. No gateway stands before this listener: only the connection tells the address."""
    agent = single(head.headers, "User-Agent")
    return {**correlation(head.headers), "ip": peer_address(request), "user_agent": agent}


def _asked(scope: str, token: BearerToken | None, whence: Provenance) -> AccessRequest:
    return AccessRequest(
        caller=_ADMIN,
        dialect="admin",
        action=Action("use"),
        resource=Entity("scope", scope),
        token=token,
        **whence,
    )


def _broken_glass(name: str, scope: str, head: RequestHead) -> dict[str, Any]:
    return {
        "decision": "allow",
        "reason": "break_glass",
        "caller": name,
        "break_glass": True,
        "scopes": [scope],
        "action": head.method,
        "path": shortened(head.target.partition("?")[0]),
    }


def _digest(token: BearerToken) -> str:
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogateescape")).hexdigest()


def _same_user(request: web.BaseRequest) -> str | None:
    """`unix:uid=N` if the peer on a Unix socket is this service's own user (SO_PEERCRED, unix(7)), else None."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return f"unix:uid={uid}" if uid == os.getuid() else None


def _json(document: Any, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, msgspec.json.encode(document))
