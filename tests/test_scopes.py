"""Guarded handlers of an aiohttp application, before a real sidecar."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from authz.client import AuthzClient, Check, CouldNotDecideError
from authz.core import Entity
from authz.scopes import VERDICTS, require_scopes, use_sidecar
from tests.http.conftest import Running, Start, running, start

__all__ = ["running", "start"]

Get = Callable[..., Awaitable[tuple[int, dict[str, str], Any]]]


@require_scopes("memory:read")
async def memory(request: web.Request) -> web.Response:
    return web.json_response({"decisions": [each.id for each in request[VERDICTS]]})


@require_scopes("memory:read", "admin:write")
async def admin(_request: web.Request) -> web.Response:
    return web.Response(text="done")


class Photos(web.View):
    @require_scopes("photos:read")
    async def get(self) -> web.Response:
        return web.Response(text="photos")


@pytest.fixture
async def application() -> AsyncIterator[Callable[[str], Awaitable[Get]]]:
    """Starts an application that asks a sidecar at a URL; gives what gets a path of it."""
    runners: list[web.AppRunner] = []

    async def serve(sidecar: str) -> Get:
        app = web.Application()
        use_sidecar(app, sidecar, deadline_seconds=5)
        app.router.add_get("/memory", memory)
        app.router.add_get("/admin", admin)
        app.router.add_view("/photos", Photos)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert runner.addresses
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"

        async def get(path: str, token: str | None = None) -> tuple[int, dict[str, str], Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with aiohttp.ClientSession() as session, session.get(url + path, headers=headers) as answer:
                body = await answer.read()
                as_json = "json" in answer.content_type
                return answer.status, dict(answer.headers), await answer.json(content_type=None) if as_json else body

        return get

    yield serve
    for runner in runners:
        await runner.cleanup()


async def test_a_user_with_the_scope_passes(running: Running, application: Callable[[str], Awaitable[Get]]) -> None:
    """The handler runs, and knows the decisions that let the request in, which are in the ledger."""
    get = await application(running.decision)
    status, _, body = await get("/memory", running.token("alice", "user_basic"))
    (event,) = await running.events(limit=1)

    assert (status, body) == (200, {"decisions": [event["id"]]})
    assert (event["resource"], event["ip"]) == ({"type": "scope", "id": "memory:read"}, "127.0.0.1")


async def test_a_view_is_guarded_as_well(running: Running, application: Callable[[str], Awaitable[Get]]) -> None:
    """Methods of a web.View are guarded like functions."""
    get = await application(running.decision)
    assert (await get("/photos", running.token("alice", "user_premium")))[0] == 200
    assert (await get("/photos"))[0] == 401


async def test_a_user_without_the_scope_is_told_which(
    running: Running, application: Callable[[str], Awaitable[Get]]
) -> None:
    """A scope that is missing is a 403 that names the scopes, as RFC 6750 has it."""
    get = await application(running.decision)
    status, headers, body = await get("/admin", running.token("alice", "user_basic"))

    assert (status, body["reason"]) == (403, "scope_missing")
    assert headers["WWW-Authenticate"] == (
        'Bearer realm="authz", error="insufficient_scope", scope="memory:read admin:write"'
    )
    assert headers["X-Decision-Id"] == body["decision_id"]


async def test_who_is_not_known_is_told_so(running: Running, application: Callable[[str], Awaitable[Get]]) -> None:
    """No token is a 401 without an error, a bad one a 401 with it."""
    get = await application(running.decision)
    status, headers, _ = await get("/memory")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="authz"')

    status, headers, body = await get("/memory", "not.a.token")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="authz", error="invalid_token"')
    assert body["reason"] == "token_malformed"


async def test_without_an_answer_nobody_passes(running: Running, application: Callable[[str], Awaitable[Get]]) -> None:
    """A sidecar that is not there is a 503, whoever asks."""
    get = await application("http://127.0.0.1:1")
    status, headers, body = await get("/memory", running.token("alice", "user_basic"))
    assert (status, body["reason"]) == (503, "could_not_decide")
    assert "WWW-Authenticate" not in headers


async def test_an_application_without_a_sidecar_is_shut() -> None:
    """A guard in an application that names no sidecar answers 503."""
    from aiohttp.test_utils import make_mocked_request

    request = make_mocked_request("GET", "/memory", headers={"Authorization": "Bearer x"}, app=web.Application())
    assert (await memory(request)).status == 503


@pytest.mark.parametrize("scopes", [(), ("",), ("a b",), ('a"b',)])
def test_a_guard_names_scopes(scopes: tuple[str, ...]) -> None:
    """A guard without a scope, or with what cannot be one, is a mistake that shows at once."""
    with pytest.raises(ValueError, match="name at least one scope"):
        require_scopes(*scopes)


async def test_many_checks_are_one_call(running: Running) -> None:
    """A batch is answered in order; a subject that the token does not name is denied."""
    checks = [Check("use", Entity("scope", name)) for name in ("memory:read", "admin:write", "memory:search")]
    token = running.token("alice", "user_basic")
    async with AuthzClient(running.decision) as client:
        answers = await client.evaluate_all(Entity("user", "alice"), checks, token=token)
        others = await client.evaluate_all(Entity("user", "bob"), checks[:1], token=token)
        assert await client.evaluate_all(Entity("user", "bob"), []) == []
    assert [each.allow for each in answers + others] == [True, False, True, False]


async def test_a_caller_may_show_a_secret(start: Start) -> None:
    """A client that is known by its secret is let in by it, and not without it."""
    import hashlib

    digest = hashlib.sha256(b"s3cret").hexdigest()
    caller = {"name": "app", "via": "bearer", "token_sha256": digest, "trusted_to_assert": True}
    known = await start(callers=[caller])
    alice, scope = Entity("user", "alice", {"roles": ["user_basic"]}), Entity("scope", "memory:read")
    async with AuthzClient(known.decision, secret="s3cret") as client:
        assert (await client.evaluate(alice, "use", scope)).allow
    async with AuthzClient(known.decision) as client:
        with pytest.raises(CouldNotDecideError, match="HTTP 401"):
            await client.evaluate(alice, "use", scope)
