"""What turns a bundle into a policy that can be evaluated: chosen once, by the configuration."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from authz.bundle import Bundle
from authz.config import Settings
from authz.core import Policy
from authz.engine.embedded import EmbeddedPolicy
from authz.engine.module import Counts
from authz.readiness import Check


class LoadedPolicy(Policy, Protocol):
    """A policy that holds something which has to be given back."""

    def close(self) -> None:
        """Give it back. Questions after this are answered with an error, never with an allow."""
        ...


class Engine(Protocol):
    """Makes policies, and keeps what they are evaluated with."""

    async def load(self, bundle: Bundle, compiled: bytes = b"") -> LoadedPolicy:
        """The policy of a bundle that is trusted, ready to be asked. Its `close` gives back what it holds.

        `compiled`: what its examination in a process of our own worked out already (`EmbeddedPolicy.compiled`).
        Raises AuthzError, and then nothing is left of it.
        """
        ...

    async def follow(self, followed: Callable[[Policy], None]) -> None:
        """From now on tell which of the loaded policies is in force, where that is not ours to say.

        An OPA server elsewhere changes its bundle when it likes to. Waits a moment for it, but not until it answers.
        """
        ...

    def checks(self) -> tuple[Check, ...]:
        """Whether policies can be evaluated now."""
        ...

    async def close(self) -> None:
        """Stop all of it."""
        ...


class EmbeddedEngine:
    """Implements Engine in this process."""

    def __init__(self, deadline_seconds: float, counts: Counts) -> None:
        self._deadline_seconds = deadline_seconds
        self._counts = counts

    async def load(self, bundle: Bundle, compiled: bytes = b"") -> EmbeddedPolicy:
        """See Engine. Raises PolicyRefusedError."""
        return await asyncio.to_thread(
            EmbeddedPolicy.load,
            bundle.wasm,
            bundle.data_json,
            bundle.revision,
            deadline_seconds=self._deadline_seconds,
            counts=self._counts,
            compiled=compiled,
        )

    async def follow(self, followed: Callable[[Policy], None]) -> None:
        """See Engine: what is in force is ours to say."""

    def checks(self) -> tuple[Check, ...]:
        """See Engine: there is nothing that could be away."""
        return ()

    async def close(self) -> None:
        """See Engine: its policies are closed by whoever has them."""


async def start_engine(settings: Settings, state: Path, counts: Counts) -> Engine:
    """The engine of the configuration. Raises ConfigurationError or another AuthzError that says what to do."""
    if settings.engine == "embedded":
        return EmbeddedEngine(settings.policy.deadline_seconds, counts)
    from authz.engine.opa import local_engine, remote_engine  # noqa: PLC0415 - its client takes 90 ms to load

    if settings.opa.url is None:
        return await local_engine(settings.opa, state)
    return remote_engine(settings.opa)
