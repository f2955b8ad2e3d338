"""Guards handlers of aiohttp applications: `@require_scopes("memory:read")` asks a sidecar before the handler runs.

    app = web.Application()
    use_sidecar(app, "http://127.0.0.1:8080")

    @require_scopes("memory:read")
    async def memory(request: web.Request) -> web.Response: ...

The user's bearer token decides. Without a clear allow the handler does not run: 401 and 403 as RFC 6750 section 3 has
them, 429 over a rate limit, and 503 when there is no answer.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, Final

import msgspec
from aiohttp import web

from authz.client import AuthzClient, CouldNotDecideError, Verdict
from authz.core import Entity, Kind, kind_of

CLIENT: Final = web.AppKey("authz_client", AuthzClient)
"""Where an application keeps its client; `use_sidecar` puts it there."""

VERDICTS: Final = web.RequestKey("authz_verdicts", tuple[Verdict, ...])
"""The key under which a guarded request holds the verdicts that let it in."""

_FORWARDED = {"X-Request-ID": "X-Request-ID", "traceparent": "traceparent", "User-Agent": "X-Authz-User-Agent"}
_BEARER = "bearer "
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

Handler = Callable[[Any], Awaitable[web.StreamResponse]]


def use_sidecar(app: web.Application, url: str, *, secret: str | None = None, deadline_seconds: float = 1.0) -> None:
    """Have the application's guards ask the sidecar at `url`. Arguments as for `AuthzClient`."""

    async def connected(app: web.Application) -> AsyncIterator[None]:
        async with AuthzClient(url, secret=secret, deadline_seconds=deadline_seconds) as client:
            app[CLIENT] = client
            yield

    app.cleanup_ctx.append(connected)


def require_scopes(*scopes: str) -> Callable[[Handler], Handler]:
    """Let a handler run only for a user who holds all of these scopes. Each is a decision, recorded as such.

    For handler functions and for methods of `web.View`. Raises ValueError, where it is used, when no scope is named or
    a name cannot be one (RFC 6749 section 3.3).
    """
    if not scopes or not all(_SCOPE.fullmatch(each) for each in scopes):
        raise ValueError("require_scopes: name at least one scope, such as memory:read")

    def guard(handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(target: Any) -> web.StreamResponse:
            request = target.request if isinstance(target, web.View) else target
            refused = await _refusal(request, scopes)
            return await handler(target) if refused is None else refused

        return guarded

    return guard


async def _refusal(request: web.Request, scopes: tuple[str, ...]) -> web.Response | None:
    """The answer to a request that may not pass; None when it may."""
    token = _token(request)
    if token is None:
        return _answer(401, "token_missing", 'Bearer realm="authz"')
    client = request.config_dict.get(CLIENT)
    if client is None:
        return _answer(503, "could_not_decide")
    headers = _told(request)
    user = Entity("user", "")
    try:
        verdicts = await asyncio.gather(
            *(client.decide(user, "use", Entity("scope", each), token=token, headers=headers) for each in scopes)
        )
    except CouldNotDecideError:
        return _answer(503, "could_not_decide")
    request[VERDICTS] = tuple(verdicts)
    denied = [each for each in verdicts if not each.allow or kind_of(each.reason) is not Kind.ALLOW]
    return _denial(denied, scopes) if denied else None


def _denial(denied: list[Verdict], scopes: tuple[str, ...]) -> web.Response:
    """One answer for all denials: first who somebody is, then how often they ask, then what they may."""
    for kind, challenge in (
        (Kind.UNAUTHENTICATED, 'Bearer realm="authz", error="invalid_token"'),
        (Kind.LIMITED, None),
    ):
        found = next((each for each in denied if kind_of(each.reason) is kind), None)
        if found is not None:
            return _answer(kind.value, found.reason, challenge, found.id)
    challenge = f'Bearer realm="authz", error="insufficient_scope", scope="{" ".join(scopes)}"'
    return _answer(403, denied[0].reason, challenge, denied[0].id)


def _answer(status: int, reason: str, challenge: str | None = None, decision_id: str | None = None) -> web.Response:
    document = {"type": "about:blank", "status": status, "reason": reason}
    headers = {"Cache-Control": "no-store"}
    if decision_id is not None:
        document["decision_id"] = headers["X-Decision-Id"] = decision_id
    if challenge is not None:
        headers["WWW-Authenticate"] = challenge
    return web.Response(
        status=status, body=msgspec.json.encode(document), content_type="application/problem+json", headers=headers
    )


def _token(request: web.Request) -> str | None:
    """The bearer token; a header that is sent twice is joined, and no verifier takes the comma."""
    value = ",".join(request.headers.getall("Authorization", []))
    return value[len(_BEARER) :].strip() or None if value[: len(_BEARER)].lower() == _BEARER else None


def _told(request: web.Request) -> dict[str, str]:
    """What the sidecar may write down of the client."""
    told = {ours: request.headers[name] for name, ours in _FORWARDED.items() if name in request.headers}
    return told | ({"X-Authz-Client-IP": request.remote} if request.remote else {})
