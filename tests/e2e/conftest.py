"""The whole: client -> gateway -> upstream, with a sidecar asked for every request."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from authz.audit import get_audit_events
from authz.identity import mint_token
from tests.e2e.gateways import GATEWAYS, Gateway, Ports
from tests.e2e.upstream import Upstream, running_upstream
from tests.processes import Sidecar, sidecar


class Stack(NamedTuple):
    """A gateway with its neighbours. `url` is the gateway's; `directory` holds its log."""

    gateway: Gateway
    url: str
    sidecar: Sidecar
    upstream: Upstream
    directory: Path

    def bearer(self, sub: str = "alice", *roles: str) -> dict[str, str]:
        """The header of a development token."""
        return {"Authorization": f"Bearer {mint_token(self.sidecar.state, sub, roles or ('user_basic',), None)}"}

    def decisions(self, limit: int) -> list[dict[str, Any]]:
        """The newest decisions in the ledger, and nothing else that is written there."""
        return decisions_in(self.sidecar.state, limit)


def decisions_in(state: Path, limit: int) -> list[dict[str, Any]]:
    """The newest decisions in a ledger."""
    events = get_audit_events(limit=limit + 1_000, path=state)
    return [event for event in events if "dialect" in event][:limit]


def asked_at(gateway: Gateway, running: Sidecar) -> int:
    """The sidecar's port that a gateway asks."""
    return int(running.envoy_grpc.rpartition(":")[2]) if gateway.grpc else running.port


@contextlib.contextmanager
def stack_of(
    gateway: Gateway, directory: Path, *arguments: str, file: str = "", authz_port: int | None = None
) -> Iterator[Stack]:
    """A gateway with its shipped file, or another one, and a sidecar with these arguments; all on free ports."""
    environment = {"AUTHZ_ENVOY_GRPC_LISTEN": "127.0.0.1:0"} if gateway.grpc else {}
    with (
        sidecar(directory / "state", *(arguments or ("--dev",)), environment=environment) as running,
        running_upstream() as upstream,
    ):
        ports = Ports(authz_port or asked_at(gateway, running), upstream.port)
        with gateway.start(directory, ports, file or gateway.file) as url:
            yield Stack(gateway, url, running, upstream, directory)


@pytest.fixture(params=GATEWAYS, ids=lambda gateway: gateway.name)
def gateway(request: pytest.FixtureRequest) -> Gateway:
    """Each gateway in turn."""
    found: Gateway = request.param
    return found


@pytest.fixture(scope="module", params=GATEWAYS, ids=lambda gateway: gateway.name)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Each gateway in turn, started once for the tests of a module that do it no harm."""
    with stack_of(request.param, tmp_path_factory.mktemp(request.param.name)) as stack:
        yield stack


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """The shared stack, its upstream with nothing seen yet."""
    shared.upstream.seen.clear()
    return shared


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar in development mode."""
    with sidecar(tmp_path / "state") as process:
        yield process


if sys.platform != "linux":
    collect_ignore_glob = ["*"]
