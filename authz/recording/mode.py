"""Strict or degraded: whether what cannot be recorded may go out, by configuration or for a stated time by command."""

from typing import Final, NamedTuple

from authz.core import BadRequestError, Clock

MOST_SECONDS: Final = 24 * 60 * 60.0
"""Longest that a command may ask for."""

MOST_REASON_CHARACTERS: Final = 500


class Mode:
    """Whether decisions go out though the ledger fails. It changes no decision, only whether there is an answer."""

    def __init__(self, clock: Clock, *, degraded: bool = False) -> None:
        self._clock = clock
        self._configured = degraded
        self._until = 0.0
        self._command = ""

    @property
    def degraded(self) -> bool:
        """Whether what cannot be recorded goes out now."""
        return self._configured or (self._until > 0.0 and self._clock.elapsed() < self._until)

    @property
    def allowed_by(self) -> str:
        """Who let that be: the configuration, or a command with its reason; empty in strict mode."""
        if self._configured:
            return "audit.mode"
        return self._command if self.degraded else ""

    def take_ended(self) -> str:
        """The command whose time is over, told once; else empty."""
        if not self._until or self.degraded:
            return ""
        self._until = 0.0
        return self._command

    def degrade(self, asked: "Degrading") -> None:
        """Be degraded for so long, from now; 0 ends it at once. It ends by itself, and does not survive a restart."""
        self._until = self._clock.elapsed() + asked.seconds
        self._command = f"{asked.by}: {asked.reason}"


class Degrading(NamedTuple):
    """A command: let decisions go out unrecorded for so many seconds, where they must. `by`: who gave it."""

    seconds: float
    reason: str
    by: str

    def checked(self) -> "Degrading":
        """Itself. Raises BadRequestError, naming the field."""
        if not 0 <= self.seconds <= MOST_SECONDS:
            raise BadRequestError(f"seconds: must be from 0 to {MOST_SECONDS:.0f}")
        if not self.reason.strip() or len(self.reason) > MOST_REASON_CHARACTERS:
            raise BadRequestError(f"reason: must say in 1 to {MOST_REASON_CHARACTERS} characters why")
        return self
