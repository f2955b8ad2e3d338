"""The witness's listener: one status for each way in which the protocol answers, and bounds on all that comes in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from authz.http import RunningWitness, serve_witness
from authz.http import witness as witness_module
from authz.tlog import Signer
from authz.witness import Store, Witness
from tests.witness.logs import COSIGNER, NOW, ORIGIN, SIGNER, Log, cosigned_at


class Reply(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str]


class Client:
    """Asks one witness."""

    def __init__(self, running: RunningWitness, session: aiohttp.ClientSession) -> None:
        self.url = running.url
        self._session = session

    async def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """One request."""
        async with self._session.request(method, f"{self.url}{path}", data=body) as response:
            return Reply(response.status, response.headers["Content-Type"], await response.read(), {**response.headers})

    async def ask(self, body: bytes) -> Reply:
        """One `add-checkpoint`."""
        return await self.send("POST", "/add-checkpoint", body)


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    """An empty memory."""
    return Store(tmp_path / "witness.db")


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """A witness that knows the node's key, on a free port."""
    running = await serve_witness(Witness([SIGNER.verifier], COSIGNER, store, lambda: NOW), "127.0.0.1:0")
    async with aiohttp.ClientSession() as session:
        yield Client(running, session)
    await running.close()


async def test_a_checkpoint_is_cosigned(client: Client) -> None:
    """200 and a line that makes the note cosigned; the last one can be read by whoever monitors the log."""
    log = Log()
    reply = await client.ask(log.body(0, 8))
    assert (reply.status, reply.content_type) == (200, "text/plain; charset=utf-8")
    assert cosigned_at(log.note(8), reply.body) == NOW
    assert (await client.send("GET", "/checkpoint/node.example%2Fauditor")).body == log.note(8) + reply.body


async def test_every_refusal_has_its_status(client: Client) -> None:
    """And leaves what is remembered as it was."""
    log, fork = Log(), Log(3)
    await client.ask(log.body(0, 8))
    for body, status in (
        (b"", 400),
        (b"old 1\n", 400),
        (b"old 8\n\nno note", 400),
        (log.body(8, 7), 400),
        (Log(signer=Signer("node.example", bytes(32))).body(8, 9), 403),
        (Log(origin="other.example").body(0, 3), 404),
        (fork.body(8, 9), 422),
    ):
        reply = await client.ask(body)
        assert (reply.status, reply.content_type) == (status, "text/plain; charset=utf-8")
    assert (await client.ask(log.body(8, 9))).status == 200


async def test_a_conflict_tells_the_size(client: Client, store: Store) -> None:
    """As text/x.tlog.size; a fork of the same size is one too, and is kept as evidence."""
    log, fork = Log(), Log(3)
    assert (await client.ask(log.body(3, 8)))[:3] == (409, "text/x.tlog.size", b"0\n")
    await client.ask(log.body(0, 8))
    for body in (log.body(0, 12), log.body(9, 12), fork.body(8, 8)):
        assert (await client.ask(body))[:3] == (409, "text/x.tlog.size", b"8\n")
    assert [(each.reason, each.checkpoint) for each in store.refusals(ORIGIN)] == [("fork", fork.checkpoint(8))]


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    """Nothing else is served, and the two routes take their own method only."""
    for path in (
        "/",
        "/add-checkpoint/",
        "/checkpoint/",
        "/checkpoint/other.example",
        "/checkpoint/%ff%00",
        "/metrics",
    ):
        assert (await client.send("GET", path)).status == 404
    reply = await client.send("GET", "/add-checkpoint")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    reply = await client.send("POST", "/checkpoint/node.example", b"")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")
    assert (await client.send("GET", "/healthz"))[:3] == (200, "text/plain; charset=utf-8", b"ok\n")


async def test_a_memory_in_trouble_is_503(client: Client, store: Store, tmp_path: Path) -> None:
    """Nobody is told that there is no checkpoint when it cannot be read."""
    await client.ask(Log().body(0, 8))
    store.close()
    (tmp_path / "witness.db").write_bytes(b"no database" * 1000)
    for reply in (await client.ask(Log().body(8, 9)), await client.send("GET", "/checkpoint/node.example%2Fauditor")):
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


async def test_a_body_has_a_size(client: Client) -> None:
    """64 KiB hold every request there can be."""
    assert (await client.ask(b"x" * 65_536)).status == 400
    assert (await client.ask(b"x" * 65_537)).status == 413


async def test_a_body_has_a_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes silent is answered and let go."""
    monkeypatch.setattr(witness_module, "BODY_SECONDS", 0.2)
    host, _, port = client.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold 1")
    answer = await asyncio.wait_for(reader.read(12), 10)
    writer.close()
    assert answer == b"HTTP/1.1 408"


async def test_a_connection_has_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One on which no request comes to its end is closed, whether it says nothing or a header at a time."""
    monkeypatch.setattr(witness_module, "IDLE_SECONDS", 0.3)
    running = await serve_witness(Witness([SIGNER.verifier], COSIGNER, store, lambda: NOW), "127.0.0.1:0")
    host, _, port = running.url.removeprefix("http://").rpartition(":")
    for said in (b"", b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    await running.close()


async def test_only_so_many_wait(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told to come again."""
    monkeypatch.setattr(witness_module, "MAX_WAITING", 0)
    assert (await client.ask(Log().body(0, 8))).status == 503


async def test_of_many_at_once_one_moves_the_log(client: Client) -> None:
    """All start from the same size: one is cosigned, the others are told where the log is now."""
    log = Log()
    replies = await asyncio.gather(*(client.ask(log.body(0, size)) for size in range(1, 33)))
    (cosigned,) = [size for size, reply in enumerate(replies, 1) if reply.status == 200]
    others = {(reply.status, reply.body) for reply in replies if reply.status != 200}
    assert others == {(409, b"%d\n" % cosigned)}


async def test_it_listens_on_a_unix_socket(store: Store, tmp_path: Path) -> None:
    """For a proxy that does TLS before it."""
    place = tmp_path / "witness.sock"
    running = await serve_witness(Witness([SIGNER.verifier], COSIGNER, store, lambda: NOW), f"unix:{place}")
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(place))) as session,
        session.post("http://witness/add-checkpoint", data=Log().body(0, 8)) as response,
    ):
        status = response.status
    await running.close()
    assert (running.url, status) == (f"unix:{place}", 200)
