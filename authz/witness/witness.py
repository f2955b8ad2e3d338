"""The witness: cosigns a checkpoint that only adds to the one it cosigned before, and never two that disagree."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from authz.tlog import (
    EMPTY_ROOT,
    Checkpoint,
    CosignerSigner,
    MalformedError,
    Note,
    NoteError,
    ProofError,
    VerifierKey,
    add_signatures,
    open_note,
    read_checkpoint,
    split_note,
    verify_consistency,
)
from authz.witness.errors import (
    CannotCosignError,
    ConflictError,
    InconsistentError,
    UnknownOriginError,
    UnsignedError,
)
from authz.witness.protocol import AddCheckpoint, read_add_checkpoint
from authz.witness.store import Cosigned, Reason, Refusal, Store

EARLIEST_TIME: Final = 1_735_689_600
"""2025-01-01: a clock that is before this was never set."""

LATE_SECONDS: Final = 60
"""How far the clock may be behind the last cosignature of a log: corrections of a clock are smaller."""

_log = structlog.get_logger("authz.witness")


class Witness:
    """Answers `add-checkpoint` for the logs whose keys it was given. Not safe across threads.

    A key covers the log of its name and every log below it (`<name>/...`): a node and its streams. `clock`: seconds
    since the epoch. `clock_was_wrong`: cosign although the clock is behind an earlier cosignature.
    """

    def __init__(
        self,
        keys: Sequence[VerifierKey],
        signer: CosignerSigner,
        store: Store,
        clock: Callable[[], float],
        *,
        clock_was_wrong: bool = False,
    ) -> None:
        self._keys = tuple(keys)
        self._signer = signer
        self._store = store
        self._clock = clock
        self._clock_was_wrong = clock_was_wrong

    def add_checkpoint(self, body: bytes) -> bytes:
        """The cosignature line for the checkpoint in a request. That it was given is durable before this returns.

        Raises MalformedError, or a WitnessError: one class for each way in which the protocol refuses.
        """
        asked = read_add_checkpoint(body)
        checkpoint, note = self._opened(asked.note)
        if asked.old_size > checkpoint.size:
            raise MalformedError(f"add-checkpoint: old {asked.old_size} is more than the {checkpoint.size} of the log")
        last = self._store.last(checkpoint.origin)
        try:
            check_growth(asked, checkpoint, last.checkpoint if last else None)
        except (ConflictError, InconsistentError) as error:
            reason = evidence(error, checkpoint, last.checkpoint if last else None)
            if reason is not None:
                self._refused(checkpoint, reason, last, body)
            raise
        return self._cosigned(checkpoint, note, last)

    def last(self, origin: str) -> bytes | None:
        """The checkpoint of a log that was cosigned last, with the signatures of both. Raises CannotCosignError."""
        found = self._store.last(origin)
        return found.note if found else None

    def _opened(self, signed: bytes) -> tuple[Checkpoint, Note]:
        text, _ = split_note(signed)
        checkpoint = read_checkpoint(text)
        keys = keys_for(checkpoint.origin, self._keys)
        if not keys:
            raise UnknownOriginError(f"no key is known for the log {checkpoint.origin!r}")
        try:
            return checkpoint, open_note(signed, keys)
        except NoteError as error:
            raise UnsignedError(str(error)) from None

    def _cosigned(self, checkpoint: Checkpoint, note: Note, last: Cosigned | None) -> bytes:
        time = self._time(last)
        line = self._signer.cosign(checkpoint, time)
        kept = add_signatures(_written(note), [line])
        if not self._store.advance(last, Cosigned(checkpoint, time, kept)):
            now = self._store.last(checkpoint.origin)
            raise ConflictError("another checkpoint was cosigned at the same time", now.checkpoint.size if now else 0)
        return f"{line}\n".encode()

    def _time(self, last: Cosigned | None) -> int:
        """The time of a cosignature: the clock's, if that can be true, and never before the last one of the log."""
        now = int(self._clock())
        if now < EARLIEST_TIME:
            raise CannotCosignError(f"the clock says {now} seconds since 1970: it was never set")
        if last is None or now >= last.time:
            return now
        if now + LATE_SECONDS < last.time and not self._clock_was_wrong:
            raise CannotCosignError(
                f"the clock is {last.time - now} s behind the last cosignature of {last.checkpoint.origin!r}. Correct "
                "it, or, if it was wrong then, start once with --clock-was-wrong"
            )
        return now if self._clock_was_wrong else last.time

    def _refused(self, checkpoint: Checkpoint, reason: Reason, last: Cosigned | None, body: bytes) -> None:
        """Keep what may be evidence, and say it loudly."""
        size, root = (last.checkpoint.size, last.checkpoint.root) if last else (0, EMPTY_ROOT)
        kept = self._store.keep(Refusal(checkpoint, reason, size, body, int(self._clock())))
        _log.error(
            "checkpoint_refused",
            reason=reason,
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root.hex(),
            cosigned_size=size,
            cosigned_root=root.hex(),
            kept=kept,
        )


def keys_for(origin: str, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """The keys of a log, under its name: those of that very name, and those of a node that it is a stream of."""
    return [key.named(origin) for key in keys if origin == key.name or origin.startswith(f"{key.name}/")]


def check_growth(asked: AddCheckpoint, checkpoint: Checkpoint, last: Checkpoint | None) -> None:
    """Whether the checkpoint only adds to the last one, as the protocol wants it shown.

    Raises ConflictError when it does not start from there, InconsistentError when the proof does not hold.
    """
    size, root = (last.size, last.root) if last else (0, EMPTY_ROOT)
    if asked.old_size != size:
        raise ConflictError(f"the last checkpoint cosigned is of {size} leaves, not {asked.old_size}", size)
    if checkpoint.size == size and checkpoint.root != root:
        raise ConflictError(f"another tree of {size} leaves was cosigned", size)
    try:
        verify_consistency(size, checkpoint.size, asked.proof, root, checkpoint.root)
    except ProofError as error:
        raise InconsistentError(str(error)) from None


def evidence(
    refused: ConflictError | InconsistentError, checkpoint: Checkpoint, last: Checkpoint | None
) -> Reason | None:
    """What a refused checkpoint may be evidence of; None if its sender only did not know what was cosigned last."""
    if isinstance(refused, InconsistentError):
        return "inconsistent"
    if last is None or checkpoint.size > last.size or checkpoint.root == last.root:
        return None
    return "fork" if checkpoint.size == last.size else "behind"


def _written(note: Note) -> bytes:
    """The note with the signatures that were verified, and no others."""
    return "".join([note.text, "\n", *(f"{one.line}\n" for one in note.signatures)]).encode()
