"""Following the source: looking at it again and again, and minding how old the policy gets."""

import asyncio
import random
from typing import Final

import structlog

from authz.activation.activation import Activation
from authz.activation.errors import SourceError, TruncatedError
from authz.activation.sources import BundleSource, Fetched
from authz.activation.status import PolicyStatus
from authz.core import AuthzError, Clock
from authz.metrics import POLICY_AGE_SECONDS, POLICY_FETCHES_TOTAL, POLICY_STALE
from authz.readiness import Check

_LONGEST_PAUSE_SECONDS: Final = 300.0
_JUDGED_EVERY_SECONDS: Final = 1.0

_log = structlog.get_logger("authz.activation")


class Following:
    """Offers what the source has to an Activation, and holds the policy's age to `policy.stale`."""

    def __init__(self, activation: Activation, clock: Clock) -> None:
        self._activation = activation
        self._clock = clock
        self._policy = activation.settings.policy
        self._failures = 0
        self._trouble = ""
        self._good = activation.begun.confirmed
        self._confirmed = clock.elapsed()
        if not activation.begun.confirmed and activation.journal.confirmed_at:
            self._confirmed -= max(0.0, clock.now() - activation.journal.confirmed_at)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, if there is anything to follow."""
        source = self._activation.begun.source
        if source is not None:
            self._tasks = [
                asyncio.create_task(self._follow(source), name="policy-source"),
                asyncio.create_task(self._mind_age(), name="policy-age"),
            ]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def age_seconds(self) -> float | None:
        """Time since the source confirmed what is in force; None where nothing is followed."""
        if self._activation.begun.source is None:
            return None
        return max(0.0, self._clock.elapsed() - self._confirmed)

    @property
    def stale(self) -> bool:
        """Whether that is too long. What a rollback holds does not get stale: somebody chose it."""
        age, most = self.age_seconds, self._policy.stale_after_seconds
        return bool(most) and age is not None and age > most and not self._activation.journal.pinned

    def status(self) -> PolicyStatus:
        """What is in force, how it got there and how old it is."""
        return self._activation.status(self.age_seconds, self._trouble)

    def check(self) -> Check:
        """Whether there is a policy to decide by, and a fresh one where that is asked for."""
        found = self._activation.candidate.examined
        detail = f"revision {found.revision}"
        if self._activation.journal.pinned:
            detail += f", held by {self._activation.journal.pinned}"
        if self._trouble:
            detail += f"; {self._trouble}"
        if not self.stale:
            return Check("policy", ok=True, detail=detail)
        ok = self._policy.stale == "serve"
        detail += f"; STALE: not confirmed for {self.age_seconds:.0f} s"
        return Check("policy", ok=ok, detail=detail, fix="Look at policy.source and `authz policy status`")

    async def _follow(self, source: BundleSource) -> None:
        # A start has just looked, unless a rollback holds.
        pause = self._policy.poll_seconds if self._good else 0.0
        while True:
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load, guards nothing
            started = self._clock.elapsed()
            held = await self._looked(source)
            # One that holds requests is asked again at once; if it only says that it does, it is polled.
            prompt = held and self._clock.elapsed() - started > 1.0
            pause = 0.0 if prompt and not self._failures else self._pause_seconds()

    def _pause_seconds(self) -> float:
        if not self._failures:
            return self._policy.poll_seconds
        return min(self._policy.poll_seconds * 2.0 ** min(self._failures, 16), _LONGEST_PAUSE_SECONDS)

    async def _looked(self, source: BundleSource) -> bool:
        """One look. Whether the source held the request."""
        try:
            found = await source.look()
            await self._take(found)
        except TruncatedError as error:
            self._failed(error.code, str(error))
            await self._activation.refuse(error, "")
        except (SourceError, OSError) as error:
            self._failed("source_unavailable", str(error))
        except AuthzError as error:
            # It was good, and could not be recorded: the next look brings it again.
            source.forget()
            self._failed(error.code, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the policy has to be followed on
            source.forget()
            self._failed("internal", type(error).__name__)
            _log.error("policy_follow_fault", exc_info=error)
        else:
            self._failures, self._trouble = 0, ""
            return found.held
        return False

    async def _take(self, found: Fetched) -> None:
        POLICY_FETCHES_TOTAL.labels("unchanged" if found.archive is None else "changed").inc()
        if found.archive is not None:
            self._good = await self._activation.offer(found.archive)
        if not self._good:
            return
        self._confirmed = self._clock.elapsed()
        await self._activation.confirmed()

    def _failed(self, code: str, detail: str) -> None:
        if not self._failures:
            _log.warning("policy_source_failed", code=code, detail=detail)
        self._failures += 1
        self._trouble = f"{code}: {detail}"
        POLICY_FETCHES_TOTAL.labels("failed").inc()

    async def _mind_age(self) -> None:
        while True:
            age = self.age_seconds
            POLICY_AGE_SECONDS.set(age if age is not None else float("nan"))
            POLICY_STALE.set(self.stale)
            self._activation.set_stale(stale=self.stale)
            await asyncio.sleep(_JUDGED_EVERY_SECONDS)
