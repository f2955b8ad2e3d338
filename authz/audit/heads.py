"""The checkpoints that lie beside a ledger, one for each stream, and what is wrong with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.claims import Claim
from authz.audit.findings import Findings, Place
from authz.audit.published import TILES, checkpoint_note, tiles_directory
from authz.audit.trust import Trust, read_unverified
from authz.tlog import MalformedError, TlogError

CHECKPOINT: Final = "checkpoint"

_PLACE: Final = Place(CHECKPOINT)


class Head(NamedTuple):
    """The newest checkpoint of a stream. `node`: the name that is in its origin before the stream's."""

    note: bytes
    node: str
    claim: Claim


def published_streams(audit: Path) -> list[str]:
    """The streams of which there is a checkpoint. Raises OSError."""
    try:
        found = sorted((audit / TILES).iterdir())
    except FileNotFoundError:
        return []
    return [path.name for path in found if (path / CHECKPOINT).exists()]


def published_nodes(audit: Path, trust: Trust) -> Iterator[str]:
    """The names under which the checkpoints of this ledger may be remembered: the keys', and those it claims itself."""
    yield from (key.name for key in trust.keys)
    for stream in published_streams(audit):
        note = checkpoint_note(audit, stream)
        try:
            yield read_unverified(note or b"").origin.rpartition("/")[0]
        except TlogError:  # the check of the stream names it
            continue


def read_head(audit: Path, trust: Trust, findings: Findings) -> Head | None:
    """The checkpoint of a stream if there is one that can be used; what is wrong with it goes into `findings`."""
    where = str(tiles_directory(audit, findings.stream) / CHECKPOINT)
    try:
        note = checkpoint_note(audit, findings.stream)
    except OSError as error:
        findings.issue("checkpoint_unreadable", _PLACE, f"The checkpoint cannot be read: {error}")
        return None
    if note is None:
        return None
    try:
        return _opened(note, where, trust, findings)
    except MalformedError as error:
        findings.issue("checkpoint_refused", _PLACE, f"This is no checkpoint: {error}")
    except TlogError as error:
        findings.issue("checkpoint_refused", _PLACE, f"Not a checkpoint by a key of this ledger: {error}")
    return None


def _opened(note: bytes, where: str, trust: Trust, findings: Findings) -> Head:
    if trust.keys:
        checkpoint, node = trust.open(note, findings.stream)
        claim = Claim(checkpoint.size, checkpoint.root, "checkpoint", where, str(node))
        return Head(note, node.name, claim)
    checkpoint = read_unverified(note)
    findings.note(
        "checkpoint_unverified", _PLACE, "There is no key to check who signed it: somebody may have made it up"
    )
    claim = Claim(checkpoint.size, checkpoint.root, "checkpoint", where, None)
    return Head(note, checkpoint.origin.rpartition("/")[0], claim)


def head_missing(findings: Findings) -> None:
    """There should be a checkpoint and there is none."""
    findings.issue("checkpoint_missing", _PLACE, "There is no checkpoint of this stream, and there should be one")
