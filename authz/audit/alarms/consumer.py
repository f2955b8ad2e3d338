"""The alarms as a consumer of the trail: what the rules find is kept, said in the log, and owed to the ledger."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import structlog

from authz.audit.alarms.rules import RULE_NAMES
from authz.audit.alarms.store import AlarmStore, forgotten
from authz.audit.alarms.watch import Suspicion, Watch
from authz.audit.recent import recent_ids
from authz.audit.status import AUDITOR_NAME
from authz.audit.trail import Batch, Place
from authz.config import AlarmSettings
from authz.core import Clock, Event

STORE_NAME: Final = "alarms.db"

LEARNING_SECONDS: Final = 600.0
"""Where there is no store, what is older than this teaches what is usual and raises nothing."""

_KEEP_SECONDS: Final = 5.0
_NEEDLE: Final = b'"rule":"'

_log = structlog.get_logger("authz.auditor.alarms")


class AlarmConsumer:
    """Implements trail.Consumer; `owed` and `paid` are for the process that writes the auditor's own stream.

    What was raised is on disk before it is owed, and stays until it is paid. The windows are kept every few seconds
    with the places they belong to: after a crash the records since are looked at again, which raises nothing twice.
    """

    name = "alarms"
    begins: Literal["beginning"] = "beginning"

    def __init__(self, state: Path, settings: AlarmSettings, clock: Clock) -> None:
        self.raised = dict.fromkeys(RULE_NAMES, 0)
        """How many were raised in the life of this process, by rule."""
        self._state = state
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._owed: dict[str, Suspicion] = {}
        self._places: dict[str, Place] = {}
        self._kept_at = 0.0
        self._latest = 0.0
        self._store: AlarmStore | None = None
        self._watch = Watch(settings)

    @property
    def forgotten(self) -> dict[str, int]:
        """How much each rule forgot too early."""
        return forgotten(self._watch)

    def open(self) -> Mapping[str, Place]:
        """See trail.Consumer."""
        with self._lock:
            self._store = store = AlarmStore(self._state / AUDITOR_NAME / STORE_NAME)
            self._watch = Watch(self._settings, store.begun(self._clock.now()) - LEARNING_SECONDS)
            self._places = store.restore(self._watch)
            self._owed = {each.id: each for each in store.owed()}
            self._pay(self._recorded_before())
        return dict(self._places)

    def take(self, batch: Batch) -> None:
        """See trail.Consumer."""
        raised: list[Suspicion] = []
        for record in batch.records:
            raised += self._watch.see(record.fields)
        with self._lock:
            self._places[batch.stream] = batch.after
            if raised:
                self._opened.raise_all(raised, self._watch)
                self._owed |= {each.id: each for each in raised}
                self._latest = max(self._latest, *(each.at for each in raised))
            if self._clock.elapsed() >= self._kept_at + _KEEP_SECONDS:
                self._keep()
        for each in raised:
            self.raised[each.rule] += 1
            _log.warning("suspicious_activity", id=each.id, **each.body)

    def kept(self, stream: str, segments: Sequence[str]) -> None:
        """See trail.Consumer: what was pruned changes nothing here."""

    def close(self) -> None:
        """See trail.Consumer."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                try:
                    self._keep_in(store)
                finally:
                    store.close()

    def owed(self) -> list[Event]:
        """The events that are to be recorded."""
        with self._lock:
            return [each.event for each in self._owed.values()]

    def paid(self, ids: Sequence[str]) -> None:
        """These are recorded. Where the store is away they are found in the ledger when it is back."""
        with self._lock:
            self._pay(ids)

    @property
    def _opened(self) -> AlarmStore:
        if self._store is None:
            raise OSError("the store of the alarms is not open")
        return self._store

    def _pay(self, ids: Sequence[str]) -> None:
        for each in ids:
            self._owed.pop(each, None)
        if self._store is not None:
            self._store.paid(list(ids))

    def _recorded_before(self) -> list[str]:
        """A crash can come between the record and the note that it is there."""
        if not self._owed:
            return []
        streams = sorted((self._state / "audit").glob(f"{AUDITOR_NAME}*"))
        since = min(each.body["decided_at"] for each in self._owed.values())
        found = {each for stream in streams if stream.is_dir() for _, each in recent_ids(stream, _NEEDLE, since)}
        return [each for each in self._owed if each in found]

    def _keep(self) -> None:
        self._keep_in(self._opened)

    def _keep_in(self, store: AlarmStore) -> None:
        self._kept_at = self._clock.elapsed()
        store.raise_all([], self._watch)
        store.keep(self._watch, self._places, self._latest - 2 * self._settings.quiet_seconds)
