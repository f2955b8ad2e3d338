"""The record that lets the oldest segments of a stream go: all it takes to verify the rest without them.

It stands in the stream of the command that removes them (`cli`), and is durable before the first of them is removed,
oldest first. A segment that is gone without such a record is damage.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from authz.audit.record import read_header
from authz.core import AuthzError
from authz.tlog import CompactRange, read_hash, write_base64

PRUNE: Final = "audit.prune"

_HEX_DIGITS: Final = frozenset("0123456789abcdef")


class Pruned(Struct, frozen=True, kw_only=True):
    """Body of `audit.prune`: of `stream`, the records up to number `minimum_index` may be gone.

    `minimum_index`: the first leaf that is kept, which is record `minimum_index + 1`, the first one of a segment.
    `hashes`: the tree over what goes, as the hashes of its compact range, left to right, base64. `prev`: chain hash of
    the last record that goes, 64 hex digits. `segments`: names of the files that go, as if they were raw.
    `archive_sha256`: of the manifest of the archive they went to, hex; None when they went nowhere. `reason`: why.
    """

    stream: str
    minimum_index: _Count
    hashes: tuple[str, ...]
    prev: str
    segments: tuple[str, ...]
    archive_sha256: str | None = None
    reason: str = "retention"

    def tree(self) -> CompactRange:
        """The tree over what goes, to be grown by what is kept. Raises MalformedError."""
        return CompactRange(self.minimum_index, [read_hash(one, "prune record") for one in self.hashes])


_decode = msgspec.json.Decoder(Pruned).decode


def pruned(
    stream: str,
    tree: CompactRange,
    prev: bytes,
    segments: tuple[str, ...],
    *,
    archive_sha256: str | None = None,
    reason: str = "retention",
) -> Pruned:
    """The body for a tree that ends where the segments to go end; `prev` is the chain hash there."""
    return Pruned(
        stream=stream,
        minimum_index=tree.size,
        hashes=tuple(write_base64(one) for one in tree.hashes),
        prev=prev.decode(),
        segments=segments,
        archive_sha256=archive_sha256,
        reason=reason,
    )


def read_pruned(line: bytes) -> Pruned | None:
    """The statement of a record; None when it is of another type. Raises ValueError when it makes no sense."""
    if read_header(line).type != PRUNE:
        return None
    try:
        found = _decode(line)
        found.tree()
    except (msgspec.MsgspecError, AuthzError) as error:
        raise ValueError(str(error)) from None
    if len(found.prev) != 64 or not _HEX_DIGITS.issuperset(found.prev):
        raise ValueError("prev is not 64 hex digits")
    return found
