"""The client fails closed: only a clear answer of the sidecar is an answer."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from authz.client import AdminRefusedError, Answer, AuthzClient, CouldNotDecideError, admin_get
from authz.core import Entity

ALICE = Entity("user", "alice", {"roles": ["user_basic"]})
MEMORY = Entity("route", "/memory/42")
Asked = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sidecar:
    """A server that answers as it is told and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Asked = self.says(b'{"decision":true}')
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.url = ""

    def says(self, body: bytes, status: int = 200, **headers: str) -> Asked:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body, headers=headers)

        return answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        kept = {name: request.headers[name] for name in ("Content-Type", "Authorization") if name in request.headers}
        self.asked.append((request.method, request.raw_path, kept, json.loads(await request.read() or b"null")))
        return await self.answer(request)


@pytest.fixture
async def sidecar() -> AsyncIterator[Sidecar]:
    """A sidecar on loopback."""
    served = Sidecar()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", served.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        served.url = f"http://127.0.0.1:{server.port}"
        yield served


async def asked(url: str, **options: Any) -> Answer:
    async with AuthzClient(url, deadline_seconds=2) as client:
        return await client.evaluate(ALICE, "GET", MEMORY, **options)


async def refusal(url: str, **options: Any) -> str:
    with pytest.raises(CouldNotDecideError) as caught:
        await asked(url, **options)
    return str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost", "htp://localhost:1"])
async def test_what_is_no_address_is_told_with_what_is_one(url: str) -> None:
    """A forgotten `http://` is not an error of some library, in questions as in what is asked of the admin listener."""
    said = f"{url}: no address of a sidecar; write http://HOST:PORT or unix:PATH"
    assert await refusal(url) == said
    with pytest.raises(AdminRefusedError) as caught:
        await admin_get(url, "/v1/policy")
    assert str(caught.value) == said


async def test_a_question_is_authzens(sidecar: Sidecar) -> None:
    """One AuthZEN evaluation is posted; the token goes in Authorization, an explanation is asked for by query."""
    body = {
        "subject": {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}},
        "action": {"name": "GET"},
        "resource": {"type": "route", "id": "/memory/42", "properties": {}},
    }
    await asked(sidecar.url)
    await asked(f"{sidecar.url}/", token="abc", explain=True)
    assert sidecar.asked == [
        ("POST", "/access/v1/evaluation", {"Content-Type": "application/json"}, body),
        (
            "POST",
            "/access/v1/evaluation?explain=true",
            {"Content-Type": "application/json", "Authorization": "Bearer abc"},
            body,
        ),
    ]


async def test_a_clear_answer_is_the_answer(sidecar: Sidecar) -> None:
    """True is an allow, false is a deny, and an explanation comes with them."""
    assert await asked(sidecar.url) == Answer(allow=True)
    sidecar.answer = sidecar.says(b'{"decision":false,"context":{"reason":"scope_missing"},"more":1}')
    assert await asked(sidecar.url) == Answer(allow=False, context={"reason": "scope_missing"})


UNCLEAR = {
    "error": (500, b'{"decision":true}'),
    "undecided": (503, b'{"decision":true}'),
    "forbidden": (403, b'{"decision":true}'),
    "unauthenticated": (401, b'{"decision":true}'),
    "created": (201, b'{"decision":true}'),
    "no content": (204, b""),
    "empty": (200, b""),
    "no JSON": (200, b"true"[:2]),
    "a bare true": (200, b"true"),
    "cut off": (200, b'{"decision":true'),
    "more after it": (200, b'{"decision":true}{"decision":false}'),
    "HTML": (200, b"<html>ok</html>"),
    "an array": (200, b'[{"decision":true}]'),
    "no decision": (200, b'{"allow":true}'),
    'decision: "true"': (200, b'{"decision":"true"}'),
    "decision: 1": (200, b'{"decision":1}'),
    "decision: null": (200, b'{"decision":null}'),
    "decision: [true]": (200, b'{"decision":[true]}'),
    "context no object": (200, b'{"decision":true,"context":[]}'),
    "invalid UTF-8": (200, b'{"decision":true,"context":{"a":"\xff"}}'),
    "lone surrogate": (200, b'{"decision":true,"context":{"a":"\\ud800"}}'),
    "nested too deep": (200, b'{"decision":true,"context":{"a":' + b"[" * 100_000),
}


@pytest.mark.parametrize(("status", "body"), UNCLEAR.values(), ids=UNCLEAR.keys())
async def test_an_unclear_answer_is_none(sidecar: Sidecar, status: int, body: bytes) -> None:
    """Any other status, and any body but a decision of true or false, is no answer."""
    sidecar.answer = sidecar.says(body, status)
    message = await refusal(sidecar.url)
    assert message.startswith("the answer cannot be read: " if status == 200 else f"HTTP {status}: ")


async def test_a_refusal_is_told(sidecar: Sidecar) -> None:
    """What the sidecar says of its refusal is in the message, at most 500 bytes of it."""
    sidecar.answer = sidecar.says(b"x" * 501, 400)
    assert await refusal(sidecar.url) == f"HTTP 400: {'x' * 500}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_no_answer(sidecar: Sidecar, status: int) -> None:
    """A redirect is not followed: an answer from elsewhere is not the sidecar's, and the token is not for it."""
    sidecar.answer = sidecar.says(b"", status, Location="/elsewhere")
    assert await refusal(sidecar.url, token="abc") == f"HTTP {status}: "
    assert len(sidecar.asked) == 1


async def test_a_slow_answer_is_none(sidecar: Sidecar) -> None:
    """An answer that does not come within the deadline is none."""
    waiting = asyncio.Event()

    async def never(_request: web.Request) -> web.StreamResponse:
        await waiting.wait()
        return web.Response()

    sidecar.answer = never
    async with AuthzClient(sidecar.url, deadline_seconds=0.05) as client:
        with pytest.raises(CouldNotDecideError, match="Timeout"):
            await client.evaluate(ALICE, "GET", MEMORY)
    waiting.set()


async def test_a_broken_connection_is_no_answer(sidecar: Sidecar) -> None:
    """A connection that ends before the answer is no answer."""

    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    sidecar.answer = hang_up
    assert "Disconnected" in await refusal(sidecar.url)


async def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    """A refused connection, a missing socket and an address that is none are no answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert (await refusal(url)).startswith(f"{url}: ClientConnectorError")
    assert "UnixClientConnectorError" in await refusal(f"unix:{tmp_path}/missing.sock")
    assert await refusal("no url") == "no url: no address of a sidecar; write http://HOST:PORT or unix:PATH"


@pytest.mark.parametrize("token", ["abc\r\nX-Evil: 1", "abc\n", "a\x00b"])
async def test_a_token_that_is_no_header_is_not_sent(sidecar: Sidecar, token: str) -> None:
    """A token with line breaks or worse is refused as a question that has no answer; nothing is sent."""
    await refusal(sidecar.url, token=token)
    assert sidecar.asked == []


async def test_an_id_that_is_no_text_is_not_sent(sidecar: Sidecar) -> None:
    """An ID that cannot be written as JSON is refused in the same way."""
    async with AuthzClient(sidecar.url) as client:
        with pytest.raises(CouldNotDecideError):
            await client.evaluate(Entity("user", "\ud800"), "GET", MEMORY)
    assert sidecar.asked == []


async def test_the_client_is_used_in_a_block() -> None:
    """Outside an `async with` block there is no connection, and no answer."""
    with pytest.raises(CouldNotDecideError, match=r"use the client in an `async with` block"):
        await AuthzClient("http://127.0.0.1:1").evaluate(ALICE, "GET", MEMORY)


async def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    """`unix:PATH` asks over a Unix socket."""
    served = Sidecar()
    runner = web.ServerRunner(web.Server(served.handle))  # type: ignore[arg-type]
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "s").start()
    try:
        assert await asked(f"unix:{tmp_path}/s") == Answer(allow=True)
    finally:
        await runner.cleanup()
    assert served.asked[0][1] == "/access/v1/evaluation"
