"""The last good JWK Set of each issuer on disk: what a restart works with while the issuer is down.

Whoever can write here can hand out keys, so the directory is as trusted as the state directory it is in. Losing it
costs only that: a restart during an outage starts without keys.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from authz.identity.keys import MAX_DOCUMENT_BYTES

_MAX_FILE_BYTES = 2 * MAX_DOCUMENT_BYTES + 8192


class Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """A JWK Set document as it came, when (seconds since the epoch) and from where."""

    issuer: str
    source: str
    fetched_at: float
    document: str


_decode = msgspec.json.Decoder(Kept).decode


class KeptKeys:
    """One file for one issuer, replaced atomically."""

    def __init__(self, directory: Path, issuer: str, source: str) -> None:
        self._path = directory / f"{hashlib.sha256(issuer.encode()).hexdigest()[:16]}.json"
        self._issuer = issuer
        self._source = source

    def read(self) -> Kept | None:
        """What was kept; None when there is nothing, or not what this issuer's keys are configured to be."""
        try:
            with self._path.open("rb") as file:
                kept = _decode(file.read(_MAX_FILE_BYTES))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return kept if (kept.issuer, kept.source) == (self._issuer, self._source) else None

    def write(self, document: bytes, fetched_at: float) -> None:
        """Keep a document. Raises OSError; the file then still holds what it held."""
        kept = Kept(self._issuer, self._source, fetched_at, document.decode())
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
