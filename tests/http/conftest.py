"""A whole decision point in the test's own process, on free ports, and raw requests against it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest

from authz import http, identity
from authz.config import load
from authz.core import Event
from authz.metrics import REGISTRY
from authz.pdp import Pdp


def before_records(patch: pytest.MonkeyPatch, ledger: Any, act: Callable[[int], Awaitable[None]]) -> None:
    """From here on `act` is awaited with the number of records before they are made; what it raises is raised."""
    record, record_all = ledger.record, ledger.record_all

    async def one(event: Event) -> None:
        await act(1)
        await record(event)

    async def many(events: Sequence[Event]) -> None:
        await act(len(events))
        await record_all(events)

    patch.setattr(ledger, "record", one)
    patch.setattr(ledger, "record_all", many)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


class Running:
    """A decision point in development mode, its ledger and its metrics."""

    def __init__(self, pdp: Pdp, listeners: http.Listeners, session: aiohttp.ClientSession, state: Path) -> None:
        self.pdp = pdp
        self.listeners = listeners
        self.decision = listeners.decision
        self.admin = listeners.admin
        self.state = state
        self._session = session

    async def stop(self) -> None:
        """Stop it, once."""
        if not self._session.closed:
            await self._session.close()
            await self.listeners.close()
            await self.pdp.close("test")

    def token(self, sub: str = "alice", *roles: str, scopes: list[str] | None = None, **claims: Any) -> str:
        """A development token."""
        return identity.mint_token(self.state, sub, roles, scopes, claims=claims)

    def pseudonym(self, value: str) -> str:
        """What stands in the ledger for a value."""
        return self.pdp.decisions.pseudonyms.pseudonym(value)

    async def send(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None, token: str | None = None
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        async with self._session.request(method, url, data=data, headers=fields) as response:
            content = await response.read()
            received = {name.lower(): value for name, value in response.headers.items()}
            as_json = "json" in received.get("content-type", "")
            return Answer(response.status, received, msgspec.json.decode(content) if as_json else content)

    async def evaluate(self, body: Any, query: str = "", **options: Any) -> Answer:
        """An AuthZEN evaluation."""
        return await self.send("POST", f"{self.decision}/access/v1/evaluation{query}", body, **options)

    async def check(self, method: str, path: str, **options: Any) -> Answer:
        """A check in Envoy's dialect."""
        return await self.send(method, f"{self.decision}/check/envoy{path}", **options)

    async def raw(self, data: bytes) -> bytes:
        """Bytes in, bytes out, until the server closes."""
        host, _, port = self.decision.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return answer

    async def events(self, **filters: Any) -> list[dict[str, Any]]:
        """What the ledger holds, newest first."""
        return await asyncio.to_thread(self.pdp.audit_events, **filters)

    def counted(self, name: str, **labels: str) -> float:
        """The value of one sample of the process."""
        for family in REGISTRY.collect():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"there is no {name} {labels}")

    def on_disk(self) -> str:
        """Everything under the state directory but the keys, as text."""
        files = [path for path in self.state.rglob("*") if path.is_file() and "keys" not in path.parts]
        return "\n".join(path.read_text(errors="replace") for path in files)


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts decision points with the flags given, and stops them at the end."""
    closing: list[Callable[[], Awaitable[Any]]] = []

    async def started(**flags: Any) -> Running:
        state = Path(flags.get("state", tmp_path / "state"))
        settings = load(
            None,
            {},
            {
                "dev": True,
                "state": str(state),
                "listen": "127.0.0.1:0",
                "admin_listen": "127.0.0.1:0",
                "audit.auditor": "off",
                **flags,
            },
        )
        pdp = await Pdp.start(settings)
        try:
            listeners = await http.serve(pdp)
        except BaseException:
            await pdp.close("test")
            raise
        running = Running(pdp, listeners, aiohttp.ClientSession(auto_decompress=False), state)
        closing.append(running.stop)
        return running

    yield started
    for close in reversed(closing):
        await close()


@pytest.fixture
async def running(start: Start) -> Running:
    """A decision point with the default policy."""
    return await start()
