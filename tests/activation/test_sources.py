"""Bundles over HTTP: polled cheaply, held by long polling, never half."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from authz.activation.errors import SourceError, TruncatedError
from authz.activation.sources import UrlSource
from authz.config import PolicyKeySettings, PolicySettings
from authz.core import ConfigurationError
from tests.activation.policies import followed, in_force, members_of, put, signed, until
from tests.bundle.signers import make_signer
from tests.http.conftest import Start

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a handler on a free port and gives its URL."""
    runners: list[web.AppRunner] = []

    async def serving(handler: Handler) -> str:
        app = web.Application()
        app.router.add_get("/b.tar.gz", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/b.tar.gz"

    yield serving
    for runner in runners:
        await runner.cleanup()


async def test_object_storage_is_polled_by_etag(serve: Serve, tmp_path: Path) -> None:
    """The token is shown, the bundle is sent once, and a plain server is never asked to hold the request."""
    asked: list[dict[str, Any]] = []
    token = tmp_path / "token"
    token.write_text("secret\n")

    async def storage(request: web.Request) -> web.Response:
        asked.append({n: request.headers.get(n) for n in ("If-None-Match", "Authorization", "Prefer")})
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304, headers={"ETag": '"1"'})
        return web.Response(body=b"bundle", headers={"ETag": '"1"'})

    source = UrlSource(PolicySettings(source=await serve(storage), token_file=str(token)))
    looks = [await source.look(), await source.look()]
    await source.close()

    assert [look.archive for look in looks] == [b"bundle", None]
    one = {"If-None-Match": None, "Authorization": "Bearer secret", "Prefer": "modes=snapshot"}
    assert asked == [one, {**one, "If-None-Match": '"1"'}]


async def test_what_gives_no_bundle_is_said(serve: Serve) -> None:
    """A download that ends early, a redirect, an error: none of it is taken for a bundle."""
    answers = iter(["cut", "redirect", "error", "large"])

    async def failing(request: web.Request) -> web.StreamResponse:
        kind = next(answers)
        if kind == "redirect":
            raise web.HTTPFound("http://127.0.0.1:1/")
        if kind == "error":
            return web.Response(status=500)
        if kind == "large":
            return web.Response(body=bytes(5000))
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    source = UrlSource(PolicySettings(source=await serve(failing), max_bytes=1024))
    with pytest.raises(TruncatedError, match="ended early"):
        await source.look()
    with pytest.raises(SourceError, match="it answered 302"):
        await source.look()
    with pytest.raises(SourceError, match="it answered 500"):
        await source.look()
    archive = (await source.look()).archive
    await source.close()
    assert archive is not None
    assert len(archive) > 1024, "one piece more than is allowed is read, and refused by the examination"


def test_plain_http_is_for_signed_bundles_without_a_token() -> None:
    """Elsewhere than on loopback; and credentials do not belong into a URL."""
    key = PolicyKeySettings(id="k", file="k.pub")
    UrlSource(PolicySettings(source="http://b.example/x", keys=(key,)))
    for refused in (
        PolicySettings(source="http://b.example/x"),
        PolicySettings(source="http://b.example/x", keys=(key,), token_file="t"),
        PolicySettings(source="https://u:p@b.example/x"),
    ):
        with pytest.raises(ConfigurationError, match=r"policy\.source"):
            UrlSource(refused)


@pytest.mark.slow
async def test_a_sidecar_serves_its_bundle_by_long_polling(start: Start, serve: Serve, tmp_path: Path) -> None:
    """What follows it has the next revision as soon as it is in force here; with no request that is not held."""
    release = make_signer(tmp_path, "release")
    origin = tmp_path / "bundle.tar.gz"
    origin.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(origin, release))
    key = PolicyKeySettings(id="release", file=str(release.public))
    url = f"{running.decision}/v1/policy/bundle"
    source = UrlSource(PolicySettings(source=url, keys=(key,), long_poll_seconds=60))

    first = await source.look()
    held = asyncio.create_task(source.look())
    await asyncio.sleep(0.3)
    assert not held.done()
    archive = signed(members_of("r2"), release, 2)
    put(origin, archive)
    second = await asyncio.wait_for(held, 60)
    ended = asyncio.create_task(source.look())
    await asyncio.sleep(0.3)
    await running.stop()

    assert (first.archive, first.held) == (signed_as_kept(running.state, "r1"), False)
    assert (second.archive, second.held) == (archive, True)
    assert (await asyncio.wait_for(ended, 10)).archive is None, "an end answers those who are held"
    await source.close()


def signed_as_kept(state: Path, revision: str) -> bytes:
    return (state / "bundles" / f"{revision}.tar.gz").read_bytes()


@pytest.mark.slow
async def test_a_stale_policy_refuses_until_its_source_is_back(start: Start, tmp_path: Path) -> None:
    """`refuse`: 503 `policy_stale`, recorded, unready, and over as soon as the source confirms the policy again."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    archive = signed(members_of("r1"), release, 1)
    source.write_bytes(archive)
    running = await start(**followed(source, release, stale="refuse", stale_after_seconds=1))
    alice = running.token("alice", "user_basic")
    assert (await running.check("GET", "/memory", token=alice)).status == 200

    source.unlink()
    await until(lambda: running.pdp.following.status().stale, "stale")
    refused = await running.check("GET", "/memory", token=alice)
    ready = await running.send("GET", f"{running.admin}/readyz")
    source.write_bytes(archive)
    await until(lambda: not running.pdp.following.status().stale, "fresh again")
    again = await running.check("GET", "/memory", token=alice)

    assert (refused.status, refused.body["reason"]) == (503, "policy_stale")
    assert (ready.status, ready.body["checks"]["policy"]["ok"]) == (503, False)
    assert again.status == 200
    (event,) = await running.events(type="auth.error")
    assert event["reason"] == "policy_stale"


@pytest.mark.slow
async def test_the_next_policy_runs_in_the_shadow_first(start: Start, tmp_path: Path) -> None:
    """The old one answers, differences are counted without IDs, and too many of them reject it."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(source, release, shadow_seconds=4, shadow_differences=1))
    alice = running.token("alice", "user_basic")

    put(source, signed(members_of("r2", without="memory:read"), release, 2))
    await until(lambda: running.pdp.following.status().shadow is not None, "the shadow")
    answers = [(await running.check("GET", path, token=alice)).status for path in ("/memory", "/memory/7", "/photos")]
    shadow = running.pdp.following.status().shadow
    assert shadow is not None
    await until(lambda: running.pdp.following.status().rejected is not None, "rejected")

    assert answers == [200, 200, 200]
    assert (shadow.revision, shadow.compared, shadow.different) == ("r2", 3, 2)
    now, following = "allow scope_granted", "deny scope_missing"
    assert sorted(each["what"] for each in shadow.differences) == ["GET /memory", "GET /memory/{id}"]
    assert {(each["now"], each["next"], each["times"]) for each in shadow.differences} == {(now, following, 1)}
    assert running.pdp.policies.active.revision == "r1"
    async with asyncio.timeout(20):
        while not (rejected := await running.events(type="policy.rejected")):
            await asyncio.sleep(0.05)
    (event,) = rejected
    assert (event["reason"], event["detail"]) == ("policy_shadow", "2 of 3 decisions differed, and 1 may")

    put(source, signed(members_of("r3"), release, 3))
    await in_force(running, "r3")
    shadowed = [(each["revision"], each["different"]) for each in await running.events(type="policy.shadowed")]
    assert shadowed == [("r3", 0), ("r2", 2)]


@pytest.mark.slow
async def test_a_policy_has_to_decide_its_own_cases(start: Start, tmp_path: Path) -> None:
    """A case that comes out otherwise is named, and nothing changes."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    asked = {
        "subject": {"type": "user", "id": "u1", "roles": ["user_basic"]},
        "action": {"name": "GET"},
        "resource": {"type": "route", "id": "/memory"},
        "context": {"now": 1_800_000_000},
    }
    cases = [{"name": "memory is read", "input": asked, "allow": True, "reason": "scope_granted"}]
    source.write_bytes(signed(members_of("r1", cases=cases), release, 1))
    running = await start(**followed(source, release))

    put(source, signed(members_of("r2", cases=cases, without="memory:read"), release, 2))
    await until(lambda: running.pdp.following.status().rejected is not None, "rejected")

    rejected = running.pdp.following.status().rejected
    assert rejected is not None
    said = "case 'memory is read': deny (scope_missing), not allow (scope_granted)"
    assert (rejected.reason, rejected.detail) == ("policy_cases", said)
    assert running.pdp.policies.active.revision == "r1"
