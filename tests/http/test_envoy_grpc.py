"""The gRPC listener: decisions over a real channel, and an error of the call for everything that is none."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from authz.core import AuditUnavailableError
from tests.gateways.test_envoy_grpc import check, response
from tests.http.conftest import Running, Start, before_records


async def called(address: str, request: bytes, **options: Any) -> bytes:
    """One call. Raises grpc.aio.AioRpcError."""
    async with grpc.aio.insecure_channel(address) as channel:
        method: Any = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
        answer: bytes = await method(request, **options)
        return answer


async def refused(address: str, request: bytes = b"", **options: Any) -> tuple[grpc.StatusCode, str | None]:
    """How a call that is refused ends."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await called(address, request, **options)
    return error.value.code(), error.value.details()


@pytest.fixture
async def address(start: Start, tmp_path: Path) -> tuple[Running, str]:
    """A decision point with a gRPC listener on a Unix socket."""
    socket = f"unix:{tmp_path}/grpc.sock"
    return await start(envoy_grpc_listen=socket), socket


async def test_decisions_come_over_grpc(address: tuple[Running, str]) -> None:
    """Allow and deny are responses with a status, recorded under the dialect's name and counted under the route."""
    running, where = address
    labels = {"route": "/memory/{id}", "method": "GET", "code": "200"}
    before = running.counted("authz_requests_total", **labels)
    who = ("authorization", f"Bearer {running.token('alice', 'user_basic')}")

    allowed = response(await called(where, check([who])))
    denied = response(await called(where, check([])))
    events = [event for event in await running.events(limit=50) if "dialect" in event]

    assert (allowed[:2], denied[:2]) == ((0, "ok"), (16, "denied"))
    assert [(event["dialect"], event["reason"], event["ip"]) for event in events[:2]] == [
        ("envoy-grpc", "token_missing", "192.0.2.1"),
        ("envoy-grpc", "scope_granted", "192.0.2.1"),
    ]
    assert (allowed[2]["x-decision-id"], allowed[2]["x-authz-subject"]) == (events[1]["id"], "alice")
    assert running.counted("authz_requests_total", **labels) == before + 1


async def test_what_could_not_be_decided_is_an_error_of_the_call(
    address: tuple[Running, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that fails, and a fault of our own, never are a response."""
    running, where = address

    async def fails(_: int) -> None:
        raise AuditUnavailableError("no disk")

    async def breaks(_: int) -> None:
        raise RuntimeError("secret")

    ledger = running.pdp.decisions.ledger
    before_records(monkeypatch, ledger, fails)
    unrecorded = await refused(where, check([]))
    before_records(monkeypatch, ledger, breaks)
    broken = await refused(where, check([]))
    monkeypatch.undo()

    assert unrecorded == (grpc.StatusCode.UNAVAILABLE, "audit_unavailable")
    assert broken == (grpc.StatusCode.INTERNAL, "The service could not decide.")


async def test_calls_that_are_none_are_refused(address: tuple[Running, str]) -> None:
    """Bytes that are no message, and too many of them, are errors of the call; what reached us is counted."""
    running, where = address
    before = running.counted("authz_requests_total", route="other", method="POST", code="400")
    assert await refused(where, b"\xff") == (grpc.StatusCode.INVALID_ARGUMENT, "the message is cut short")
    assert (await refused(where, b"\0" * 300_000))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.counted("authz_requests_total", route="other", method="POST", code="400") == before + 1


async def test_only_callers_are_answered(start: Start, tmp_path: Path) -> None:
    """Without a caller that fits there is no answer; a secret in the call's metadata is one."""
    digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of `secret`
    caller = {"name": "envoy", "via": "bearer", "token_sha256": digest}
    socket = f"unix:{tmp_path}/grpc.sock"
    await start(envoy_grpc_listen=socket, callers=[caller])

    nobody = await refused(socket, check([]))
    wrong = await refused(socket, check([]), metadata=(("x-authz-caller-token", "Secret"),))
    twice = await refused(socket, check([]), metadata=(("x-authz-caller-token", "secret"),) * 2)
    known = response(await called(socket, check([]), metadata=(("x-authz-caller-token", "secret"),)))

    assert {code for code, _ in (nobody, wrong, twice)} == {grpc.StatusCode.UNAUTHENTICATED}
    assert known[1] == "denied"


async def test_a_call_that_is_given_up_is_recorded_all_the_same(
    address: tuple[Running, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy's deadline ends the call, not the decision."""
    running, where = address
    ledger = running.pdp.decisions.ledger
    held = asyncio.Event()

    async def waits(_: int) -> None:
        await held.wait()

    before_records(monkeypatch, ledger, waits)
    given_up = await refused(where, check([]), timeout=0.2)
    held.set()
    for _ in range(100):
        if any("dialect" in event for event in await running.events(limit=20)):
            break
        await asyncio.sleep(0.02)

    assert given_up[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [event["reason"] for event in await running.events(limit=20) if "dialect" in event] == ["token_missing"]


async def test_the_socket_is_for_its_owner_alone(address: tuple[Running, str]) -> None:
    """The Unix socket has mode 0600."""
    assert Path(address[1].removeprefix("unix:")).stat().st_mode & 0o777 == 0o600
