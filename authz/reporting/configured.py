"""A Reporter as the settings say."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from authz.audit import reported_since
from authz.config import ReportingSettings
from authz.core import Clock, DecisionPoint
from authz.identity import load_or_create_key
from authz.reporting.ports import ReportingLedger, ReportMeter, Reports
from authz.reporting.reporter import Reporter
from authz.reporting.seen import Seen

_KEY_FILE = "reported.key"


class Sources:
    """The parts of a Reporter that come from files: its key, and what the ledger says was reported."""

    def __init__(self, settings: ReportingSettings, state: Path, clock: Clock) -> None:
        """Reads the key, or makes it: not on the loop. Raises ConfigurationError."""
        self.key = load_or_create_key(state / "keys" / _KEY_FILE)
        self._settings = settings
        self._state = state
        self._clock = clock

    async def recorded_before(self) -> Sequence[bytes]:
        """See Reports."""
        since = datetime.fromtimestamp(self._clock.now() - self._settings.window_seconds, UTC)
        written = since.isoformat(timespec="microseconds").replace("+00:00", "Z")
        most = self._settings.remembered_ids
        return await asyncio.to_thread(partial(reported_since, self._state, written, most))


async def open_reporter(
    settings: ReportingSettings,
    state: Path,
    clock: Clock,
    *,
    ledger: ReportingLedger,
    decisions: DecisionPoint,
    meter: ReportMeter,
) -> Reporter:
    """A Reporter that has begun to read what was reported before. Raises ConfigurationError."""
    sources = await asyncio.to_thread(Sources, settings, state, clock)
    seen = Seen(clock, settings.window_seconds, settings.remembered_ids)
    reporter = Reporter(Reports(ledger, decisions, meter, seen, sources.key, sources.recorded_before))
    reporter.prepare()
    return reporter
