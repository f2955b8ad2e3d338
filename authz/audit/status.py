"""What the auditor says of itself, once a second, in a file: the sidecar's metrics and readiness come from it."""

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from authz.audit.atomic import Shelf
from authz.audit.findings import Issue

AUDITOR_NAME: Final = "auditor"
"""Directory of what is the auditor's own under the state directory; also the name of its first stream."""

STATUS_NAME: Final = "status.json"


class Alarm(Struct, frozen=True):
    """Something that a human has to look at: a stream that is not signed any more, or damage to what was signed.

    `kind` as in verification; `segment` empty and `line` 0: it is about the stream as a whole. `found_at`: RFC 3339,
    UTC. `refused`: nothing more of the stream is signed while it stands; else it was found in what was signed before.
    """

    stream: str
    kind: str
    segment: str
    line: int
    message: str
    found_at: str
    refused: bool = False

    @property
    def place(self) -> tuple[str, str, str, int, bool]:
        """What makes it this alarm and no other."""
        return self.stream, self.kind, self.segment, self.line, self.refused


class StreamStatus(Struct, frozen=True, kw_only=True):
    """One stream. `covered_at` (seconds since the epoch): what was durable then is under a signed checkpoint.

    `durable`: records known to be on the device. `refused`: why it is not signed any more. `ended_by`: the stream that
    goes on in its place, by `authz audit new-stream`. `trouble`: what went wrong in the last try, to be tried again.
    """

    stream: str
    origin: str
    size: int
    root: str
    durable: int
    covered_at: float
    refused: str | None = None
    ended_by: str | None = None
    trouble: str | None = None

    @property
    def lag_records(self) -> int:
        """Durable records that are not under a checkpoint yet."""
        return max(0, self.durable - self.size)


class ScrubStatus(Struct, frozen=True):
    """The slow re-reading of what was signed: where it is, and how often it has been through everything."""

    stream: str | None = None
    segment: str | None = None
    rounds: int = 0


class ConsumerStatus(Struct, frozen=True):
    """Somebody who works on the records as they come, such as the index.

    `lag_records`: durable records that it has not taken yet. `failure`: why it takes none now, to be tried again.
    `failures`: how often that was, since the auditor began. `trouble`: what of the ledger did not read as records.
    """

    name: str
    lag_records: int = 0
    failure: str | None = None
    failures: int = 0
    trouble: str | None = None


class VerificationStatus(Struct, frozen=True):
    """What the last verification of all of the ledger said. `at`: when it ended (seconds since the epoch).

    `failure`: why that could not be found out; the issues are those of the one before then.
    """

    at: float
    seconds: float
    issues: tuple[Issue, ...] = ()
    failure: str | None = None


class AuditorStatus(Struct, frozen=True, kw_only=True):
    """The auditor as a whole. `reads_device`: records are read past the page cache. `refusals`: of streams, so far.

    `consumers`: who works on the records beside it. `raised`: alarms of each rule since it began; `forgotten`: whom a
    rule had to forget too early. `outward`: what the witnesses and anchors say, in their own words.
    """

    time: float
    pid: int
    node: str
    vkey: str
    reads_device: bool
    streams: tuple[StreamStatus, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    trouble: str | None = None
    scrub: ScrubStatus = ScrubStatus()
    consumers: tuple[ConsumerStatus, ...] = ()
    verification: VerificationStatus | None = None
    raised: dict[str, int] = {}
    forgotten: dict[str, int] = {}
    outward: dict[str, Any] = {}


_decode: Final = msgspec.json.Decoder(AuditorStatus).decode


def status_path(state: Path) -> Path:
    """Where the status of a state directory's auditor lies."""
    return state / AUDITOR_NAME / STATUS_NAME


def write_status(state: Path, status: AuditorStatus, shelf: Shelf) -> None:
    """Replace the status. Raises OSError."""
    shelf.put(status_path(state), msgspec.json.encode(status), durable=False)


def read_status(state: Path) -> AuditorStatus | None:
    """The status, however old it is; None when there is none that can be read."""
    try:
        return _decode(status_path(state).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
