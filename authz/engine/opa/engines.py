"""OPA servers as engines: one elsewhere that has its bundles from elsewhere, or a local one for each policy."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from authz.bundle import Bundle, Opa, find_opa, pack
from authz.config import OpaSettings
from authz.core import AuthzError, Catalogue, ConfigurationError, Policy
from authz.engine.embedded import EmbeddedPolicy
from authz.engine.opa.child import OpaChild
from authz.engine.opa.client import OpaClient
from authz.engine.opa.place import read_place
from authz.engine.opa.policy import OpaPolicy
from authz.engine.opa.server import OpaServer
from authz.readiness import Check

_START_SECONDS: Final = 20.0
_FIRST_LOOK_SECONDS: Final = 1.0


class OpaNotAnsweringError(AuthzError):
    """The local OPA that was started gives no answers. The message says what it said last."""

    code = "opa_not_answering"


class RemoteEngine:
    """Implements Engine on an OPA server that somebody else runs and gives its bundles.

    A policy that was loaded is one whose answers count, when the server gives them; which revision that is, is the
    server's to say.
    """

    def __init__(self, server: OpaServer) -> None:
        self._server = server

    async def load(self, bundle: Bundle, compiled: bytes = b"") -> OpaPolicy:
        """See Engine. Raises PolicyRefusedError."""
        catalogue, searches = await asyncio.to_thread(catalogue_of, bundle, compiled)
        return self._server.know(bundle.revision, catalogue, bundle.entrypoints, searches)

    async def follow(self, followed: Callable[[Policy], None]) -> None:
        """See Engine."""
        self._server.followed = followed
        await self._server.start(_FIRST_LOOK_SECONDS)

    def checks(self) -> tuple[Check, ...]:
        """See Engine."""
        return (self._server.check(),)

    async def close(self) -> None:
        """See Engine."""
        await self._server.close()


class LocalEngine:
    """Implements Engine with a local OPA for each policy, so that a switch is this process's own, and at once."""

    def __init__(self, opa: Opa, directory: Path, settings: OpaSettings) -> None:
        self._opa = opa
        self._directory = directory
        self._settings = settings
        self._numbers = itertools.count(1)
        self._running: dict[OpaPolicy, tuple[OpaChild, OpaServer]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def load(self, bundle: Bundle, compiled: bytes = b"") -> OpaPolicy:
        """See Engine. Raises OpaNotAnsweringError."""
        catalogue, searches = await asyncio.to_thread(catalogue_of, bundle, compiled)
        archive = await asyncio.to_thread(pack, bundle.members)
        child = OpaChild(self._opa, self._directory / str(next(self._numbers)), archive)
        server = OpaServer(
            OpaClient(child.place, token_file=child.token_file),
            deadline_seconds=self._settings.deadline_seconds,
            batch_checks=self._settings.batch_checks,
        )
        policy = server.know(bundle.revision, catalogue, bundle.entrypoints, searches)
        await child.start()
        if not await server.start(_START_SECONDS):
            reason = server.breaker.reason
            await server.close()
            await child.stop()
            raise OpaNotAnsweringError(f"{self._opa.path} was started and gives no answers: {reason}")
        self._running[policy] = (child, server)
        policy.on_close = lambda: self._end(policy)
        return policy

    async def follow(self, followed: Callable[[Policy], None]) -> None:
        """See Engine: what is in force is ours to say."""

    def checks(self) -> tuple[Check, ...]:
        """See Engine: of the newest policy's OPA."""
        return tuple(server.check() for _, server in list(self._running.values())[-1:])

    async def close(self) -> None:
        """See Engine."""
        for policy in list(self._running):
            self._end(policy)
        await asyncio.gather(*self._ending)

    def _end(self, policy: OpaPolicy) -> None:
        running = self._running.pop(policy, None)
        if running is None:
            return
        task = asyncio.create_task(_ended(*running), name="opa-end")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _ended(child: OpaChild, server: OpaServer) -> None:
    await server.close()
    await child.stop()


def catalogue_of(bundle: Bundle, compiled: bytes = b"") -> tuple[Catalogue, frozenset[str]]:
    """Catalogue and searches of a bundle that is trusted, by its own module: 100 ms and more, so not on the event loop.

    The server's own has to agree with it. Raises PolicyRefusedError.
    """
    policy = EmbeddedPolicy.load(bundle.wasm, bundle.data_json, bundle.revision, compiled=compiled)
    try:
        return policy.catalogue, policy.searches
    finally:
        policy.close()


def remote_engine(settings: OpaSettings) -> RemoteEngine:
    """An engine on the server at `opa.url`. Raises ConfigurationError."""
    if settings.program is not None:
        raise ConfigurationError("opa.program: is for a local OPA; with opa.url none is started")
    client = OpaClient(
        read_place(settings.url or ""),
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        token_file=Path(settings.token_file) if settings.token_file else None,
    )
    return RemoteEngine(
        OpaServer(client, deadline_seconds=settings.deadline_seconds, batch_checks=settings.batch_checks)
    )


async def local_engine(settings: OpaSettings, state: Path) -> LocalEngine:
    """An engine that starts OPAs here. Raises OpaMissingError, ConfigurationError."""
    for key in ("ca_file", "token_file"):
        if getattr(settings, key) is not None:
            raise ConfigurationError(f"opa.{key}: goes with opa.url; a local OPA needs none")
    opa = await asyncio.to_thread(find_opa, Path(settings.program) if settings.program else None)
    return LocalEngine(opa, state / "opa", settings)
