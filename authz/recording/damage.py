"""Damage in sealed segments: it pages, and only where that is configured it stops the ledger."""

from collections.abc import Mapping, Sequence
from typing import Literal

import structlog

from authz.metrics import AUDIT_DAMAGE, AUDIT_INTEGRITY_FAILURES_TOTAL


class Damage:
    """What is known of damage in the streams of this node. `stream` is the one that is being written."""

    def __init__(self, stream: str, on_damage: Literal["page", "stop"]) -> None:
        self.findings: tuple[str, ...] = ()
        """A sentence each."""
        self.stop: str | None = None
        """Why nothing may be recorded; it stays until the next start."""
        self._stream = stream
        self._on_damage = on_damage
        self._told: dict[str, tuple[str, ...]] = {}
        self._log = structlog.get_logger("authz.recording")

    def found(self, findings: Mapping[str, Sequence[str]], *, by: str = "auditor") -> None:
        """All damage that `by` knows of now: stream -> findings, a sentence each. Each new one pages.

        With `stop`, damage in the stream that is being written ends it; damage in a stream that was left does not.
        """
        told = tuple(f"{stream}: {each}" for stream, found in sorted(findings.items()) for each in found)
        for finding in told:
            if finding not in self.findings:
                AUDIT_INTEGRITY_FAILURES_TOTAL.labels("damage").inc()
                self._log.critical("audit_damage", finding=finding, found_by=by, on_damage=self._on_damage)
        self._told[by] = told
        self.findings = tuple(dict.fromkeys(finding for each in self._told.values() for finding in each))
        AUDIT_DAMAGE.set(len(self.findings))
        if self._on_damage == "stop" and findings.get(self._stream):
            self.stop = f"audit.on_damage is stop, and there is damage: {findings[self._stream][0]}"
