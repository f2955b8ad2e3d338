"""The keys of one issuer, kept fresh off the request path and served through the issuer's outages.

PyJWKClient is synchronous and refuses every token minutes after the issuer went down; this one answers from memory
and lets a request wait only for a key that it has never seen, briefly and within bounds.
"""

import asyncio
import contextlib
from collections import OrderedDict
from typing import NamedTuple

import structlog
from jwt import PyJWK

from authz.config import IssuerSettings
from authz.core import Clock
from authz.identity.jose import Refused
from authz.identity.kept import KeptKeys
from authz.identity.keys import KeySet, KeysUnavailableError, read_key_set
from authz.identity.sources import KeySource

_log = structlog.get_logger()


class Timing(NamedTuple):
    """How patient the cache is, in seconds, and how many may wait in it."""

    between_demands: float = 5.0
    """Least time between the start of a refresh and one that an unknown kid asks for."""
    request_wait: float = 1.0
    """Longest wait of a request for a refresh under way."""
    waiting_requests: int = 256
    unknown_kid_kept: float = 30.0
    """How long a kid that the issuer does not have asks for no refresh again."""
    unknown_kids: int = 1024
    first_retry: float = 1.0
    longest_retry: float = 60.0
    """After each failure the pause doubles, up to this."""
    stale: float = 24 * 3600.0
    """How long the last good keys serve while the issuer gives none."""


class KeyStatus(NamedTuple):
    """For readiness checks and metrics. `age_seconds` is None when there are no keys."""

    issuer: str
    keys: int
    age_seconds: float | None
    error: str | None


class KeyCache:
    """The keys of one issuer. `generation` rises whenever the usable keys change: what they verified is void then."""

    def __init__(
        self,
        settings: IssuerSettings,
        source: KeySource,
        clock: Clock,
        kept: KeptKeys | None = None,
        timing: Timing = Timing(),  # noqa: B008 - immutable
    ) -> None:
        self.generation = 0
        self._settings = settings
        self._source = source
        self._clock = clock
        self._kept = kept
        self._timing = timing
        self._keys: KeySet | None = None
        self._fetched = 0.0
        self._started = float("-inf")
        self._due = clock.elapsed()
        self._retry = timing.first_retry
        self._error: str | None = None
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what was kept on disk and begin to refresh. Does not wait for the issuer."""
        await self._restore()
        self._running = asyncio.create_task(self._run(), name="jwks")

    async def close(self) -> None:
        """Stop refreshing; nothing is under way afterwards."""
        tasks = [task for task in (self._running, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def status(self) -> KeyStatus:
        """How the keys are now."""
        keys = self._current()
        age = self._clock.elapsed() - self._fetched if keys else None
        return KeyStatus(self._settings.issuer, keys.size if keys else 0, age, self._error)

    async def find(self, kid: str | None, algorithm: str) -> PyJWK:
        """The key that a token names.

        Raises Refused: `keys_unavailable` when the issuer's keys cannot be had, `token_signature` when they can but
        this is none of them.
        """
        key = self._lookup(kid, algorithm)
        if key is None and self._worth_asking(kid):
            await self._refresh_briefly(kid)
            key = self._lookup(kid, algorithm)
        if key is not None:
            return key
        if self._current() is None:
            raise Refused("keys_unavailable", "no keys of the issuer are known")
        raise Refused("token_signature", "the issuer has no such key")

    def refresh(self) -> asyncio.Task[None]:
        """Ask the source, or join those who are already asking. The task never fails."""
        if self._refreshing is None:
            self._started = self._clock.elapsed()
            self._refreshing = asyncio.create_task(self._refresh(), name="jwks-refresh")
        return self._refreshing

    def _current(self) -> KeySet | None:
        if self._keys is not None and self._clock.elapsed() - self._fetched > self._timing.stale:
            _log.error("jwks_expired", issuer=self._settings.issuer)
            self._put(None)
        return self._keys

    def _put(self, keys: KeySet | None) -> bool:
        """Whether this changed the usable keys."""
        changed = (keys and keys.fingerprint) != (self._keys and self._keys.fingerprint)
        self._keys = keys
        if changed:
            self.generation += 1
        return changed

    def _lookup(self, kid: str | None, algorithm: str) -> PyJWK | None:
        keys = self._current()
        if keys is None:
            return None
        return keys.lone.get(algorithm) if kid is None else keys.by_kid.get((kid, algorithm))

    def _worth_asking(self, kid: str | None) -> bool:
        if self._keys is None:
            return True
        if kid is None or kid in self._keys.kids:
            return False
        return self._unknown.get(kid, float("-inf")) <= self._clock.elapsed()

    async def _refresh_briefly(self, kid: str | None) -> None:
        """Wait for a refresh, if one is under way or may start now; else have one start as soon as it may."""
        allowed = self._started + self._timing.between_demands
        if self._refreshing is None and self._clock.elapsed() < allowed:
            self._due = min(self._due, allowed)
            self._wake.set()
            return
        if self._waiting >= self._timing.waiting_requests:
            return
        task = self.refresh()
        self._waiting += 1
        try:
            await asyncio.wait({task}, timeout=self._timing.request_wait)
        finally:
            self._waiting -= 1
        if kid is not None and task.done() and self._error is None:
            self._remember_unknown(kid)

    def _remember_unknown(self, kid: str) -> None:
        if self._keys is None or kid in self._keys.kids:
            return
        if len(self._unknown) >= self._timing.unknown_kids:
            self._unknown.popitem(last=False)
        self._unknown[kid] = self._clock.elapsed() + self._timing.unknown_kid_kept

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._current()
            delay = self._due - self._clock.elapsed()
            if delay <= 0:
                await asyncio.wait({self.refresh()})
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def _refresh(self) -> None:
        try:
            loaded = await self._source.load()
            keys = await asyncio.to_thread(read_key_set, loaded.document, self._settings.algorithms)
            self._accept(keys, loaded.lifetime_seconds)
            await self._keep(loaded.document)
        except KeysUnavailableError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, the next try comes in its time
            self._failed(f"unforeseen: {type(error).__name__}")
        finally:
            # Here and not in a callback of the task: that runs a turn later, and until then a refresh that has
            # ended would be joined, by which nothing is asked.
            self._refreshing = None

    def _accept(self, keys: KeySet, lifetime_seconds: float) -> None:
        self._fetched = self._clock.elapsed()
        self._due = self._fetched + lifetime_seconds / 2
        self._retry = self._timing.first_retry
        recovered, self._error = self._error, None
        if self._put(keys) or recovered:
            _log.info("jwks_refreshed", issuer=self._settings.issuer, keys=keys.size, dropped=keys.dropped)

    def _failed(self, failure: str) -> None:
        now = self._clock.elapsed()
        self._error = failure
        self._due = now + self._retry
        self._retry = min(self._retry * 2, self._timing.longest_retry)
        _log.warning(
            "jwks_refresh_failed",
            issuer=self._settings.issuer,
            error=failure,
            age_seconds=round(now - self._fetched) if self._keys else None,
        )

    async def _keep(self, document: bytes) -> None:
        if self._kept is None:
            return
        try:
            await asyncio.to_thread(self._kept.write, document, self._clock.now())
        except OSError as error:
            _log.warning("jwks_not_kept", issuer=self._settings.issuer, error=type(error).__name__)

    async def _restore(self) -> None:
        kept = await asyncio.to_thread(self._kept.read) if self._kept else None
        if kept is None:
            return
        age = max(0.0, self._clock.now() - kept.fetched_at)
        with contextlib.suppress(KeysUnavailableError):
            self._put(read_key_set(kept.document.encode(), self._settings.algorithms))
            self._fetched = self._clock.elapsed() - age
            _log.info("jwks_restored", issuer=self._settings.issuer, age_seconds=round(age))
