"""What a human has to look at: raised once, kept over restarts, lifted when the reason is gone."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import structlog

from authz.audit.auditor.following import RefusedError
from authz.audit.auditor.signed import SignedStore
from authz.audit.status import Alarm
from authz.core import Clock

MOST_FOUND: Final = 100
"""Of one stream, at a time: a human knows enough by then, and file, log and ledger stay small."""

_log = structlog.get_logger("authz.auditor")


class Alarms:
    """The alarms that stand. A new one is kept only when `keep` says that it is recorded; until then it is told again.

    Raises SigningUnsafeError, as SignedStore does.
    """

    def __init__(self, store: SignedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept = {alarm.place: alarm for alarm in store.alarms()}
        self._new: dict[tuple[str, str, str, int, bool], Alarm] = {}
        self._seen: set[tuple[str, str, str, int, bool]] = set()

    @property
    def standing(self) -> tuple[Alarm, ...]:
        """All of them, recorded or not."""
        return (*self._kept.values(), *self._new.values())

    @property
    def unrecorded(self) -> list[Alarm]:
        """Those that no record tells of yet."""
        return list(self._new.values())

    def refused(self, stream: str, error: RefusedError) -> None:
        """A stream is not signed any more."""
        self._raise(stream, error, refused=True)

    def accepted(self, stream: str) -> None:
        """A stream is signed again: it is what was signed of it after all."""
        self._lift(alarm for alarm in self.standing if alarm.refused and alarm.stream == stream)

    def found(self, stream: str, errors: Iterable[RefusedError]) -> None:
        """Damage in what was signed before."""
        for error in errors:
            place = (stream, error.kind, error.segment, error.line, False)
            self._seen.add(place)
            standing = [alarm for alarm in self.standing if alarm.stream == stream and not alarm.refused]
            if len(standing) < MOST_FOUND or place in {alarm.place for alarm in standing}:
                self._raise(stream, error, refused=False)

    def passed(self, stream: str) -> None:
        """All of a stream was looked at again: what was not found this time is mended."""
        found, self._seen = self._seen, set()
        self._lift(
            alarm
            for alarm in self.standing
            if not alarm.refused and alarm.stream == stream and alarm.place not in found
        )

    def keep(self, alarms: Iterable[Alarm]) -> None:
        """These are recorded durably."""
        for alarm in alarms:
            self._store.raise_alarms([alarm])
            self._kept[alarm.place] = alarm
            self._new.pop(alarm.place, None)

    def _raise(self, stream: str, error: RefusedError, *, refused: bool) -> None:
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="microseconds")
        alarm = Alarm(stream, error.kind, error.segment, error.line, str(error), at, refused)
        if alarm.place not in self._kept and alarm.place not in self._new:
            self._new[alarm.place] = alarm
            _log.critical("audit_alarm", **{name: getattr(alarm, name) for name in alarm.__struct_fields__})

    def _lift(self, alarms: Iterable[Alarm]) -> None:
        lifted = list(alarms)
        if not lifted:
            return
        self._store.lift_alarms(lifted)
        for alarm in lifted:
            self._kept.pop(alarm.place, None)
            self._new.pop(alarm.place, None)
            _log.warning("audit_alarm_lifted", stream=alarm.stream, kind=alarm.kind, segment=alarm.segment)
