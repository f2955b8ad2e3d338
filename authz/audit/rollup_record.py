"""The record in which a node says how far each of its streams is signed, so that none of them can vanish unnoticed."""

from typing import Final

import msgspec
from msgspec import Struct

from authz.audit.record import read_header
from authz.core import AuthzError
from authz.tlog import Checkpoint, read_hash

ROLLUP: Final = "audit.rollup"

AUDITOR: Final = "auditor"
"""The stream that holds these records: the auditor's own."""


class RolledUp(Struct, frozen=True):
    """One stream as it was last signed. `root`: base64."""

    stream: str
    origin: str
    size: int
    root: str

    def checkpoint(self) -> Checkpoint:
        """The same as a checkpoint. Raises MalformedError."""
        return Checkpoint(self.origin, self.size, read_hash(self.root, "roll-up record"))


class Rollup(Struct, frozen=True):
    """Body of `audit.rollup`: every stream that was ever signed, ended ones too, by name."""

    streams: tuple[RolledUp, ...]


_decode = msgspec.json.Decoder(Rollup).decode


def read_rollup(line: bytes) -> Rollup | None:
    """The statement of a record; None when it is of another type. Raises ValueError when it makes no sense."""
    if read_header(line).type != ROLLUP:
        return None
    try:
        found = _decode(line)
        for one in found.streams:
            one.checkpoint()
    except (msgspec.MsgspecError, AuthzError) as error:
        raise ValueError(str(error)) from None
    return found
