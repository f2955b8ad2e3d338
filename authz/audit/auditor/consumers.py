"""Who takes the trail's records in the auditor's process, by the settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from authz.audit.index import IndexWriter
from authz.audit.trail import Consumer
from authz.config import AuditSettings


def _index(state: Path, settings: AuditSettings) -> Consumer | None:
    return IndexWriter(state) if settings.index else None


_KINDS: Final[Sequence[Callable[[Path, AuditSettings], Consumer | None]]] = (_index,)
"""Each makes a consumer for a state directory, or None where the settings want none."""


def consumers(state: Path, settings: AuditSettings) -> Sequence[Consumer]:
    """The consumers of one state directory."""
    made = (make(state, settings) for make in _KINDS)
    return tuple(each for each in made if each is not None)
