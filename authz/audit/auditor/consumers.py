"""Who takes the trail's records in the auditor's process, by the settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from authz.audit.alarms import AlarmConsumer
from authz.audit.index import IndexWriter
from authz.audit.trail import Consumer
from authz.config import AuditSettings
from authz.core import Clock, Event


class Owing(Protocol):
    """Somebody who has events for the auditor's own stream. Both methods may be called from any thread."""

    def owed(self) -> Sequence[Event]:
        """What is to be recorded, again and again until it is paid."""
        ...

    def paid(self, ids: Sequence[str]) -> None:
        """These are durable."""
        ...


@runtime_checkable
class Raising(Owing, Protocol):
    """A consumer that does, and counts them."""

    raised: dict[str, int]
    """How many events it came to, by name, in the life of this process."""

    @property
    def forgotten(self) -> dict[str, int]:
        """What it could not keep in mind, by name."""
        ...


def _index(state: Path, settings: AuditSettings, _clock: Clock) -> Consumer | None:
    return IndexWriter(state) if settings.index else None


def _alarms(state: Path, settings: AuditSettings, clock: Clock) -> Consumer | None:
    return AlarmConsumer(state, settings.alarms, clock) if settings.alarms.enabled else None


_KINDS: Final[Sequence[Callable[[Path, AuditSettings, Clock], Consumer | None]]] = (_index, _alarms)
"""Each makes a consumer for a state directory, or None where the settings want none."""


def consumers(state: Path, settings: AuditSettings, clock: Clock) -> Sequence[Consumer]:
    """The consumers of one state directory."""
    made = (make(state, settings, clock) for make in _KINDS)
    return tuple(each for each in made if each is not None)
