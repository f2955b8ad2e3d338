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

_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Count = Annotated[int, Meta(ge=0)]


class PrunedSegment(Struct, frozen=True):
    """A segment that goes: its name as if it were raw, size in bytes and SHA-256 (hex) of its uncompressed file."""

    name: Annotated[str, Meta(pattern=r"^[0-9]{12}\.jsonl\Z")]
    size_bytes: _Count
    sha256: _Digest


class Pruned(Struct, frozen=True, kw_only=True):
    """Body of `audit.prune`: of `stream`, the records up to number `minimum_index` may be gone.

    `minimum_index`: the first leaf that is kept, which is record `minimum_index + 1`, the first one of a segment.
    `hashes`: the tree over what goes, as the hashes of its compact range, left to right, base64. `chain_hash`: of
    the last record that goes, 64 hex digits: the `prev` of the first one that is kept. `segments`: the files that go.
    `archive_sha256`: of the manifest of the archive they went to, hex; None when they went nowhere. `reason`: why.
    """

    stream: str
    minimum_index: _Count
    hashes: tuple[str, ...]
    chain_hash: _Digest
    segments: tuple[PrunedSegment, ...]
    archive_sha256: _Digest | None = None
    reason: str = "retention"

    def tree(self) -> CompactRange:
        """The tree over what goes, to be grown by what is kept. Raises MalformedError."""
        return CompactRange(self.minimum_index, [read_hash(one, "prune record") for one in self.hashes])


_decode = msgspec.json.Decoder(Pruned).decode


def pruned(
    stream: str,
    tree: CompactRange,
    chain_hash: bytes,
    segments: tuple[PrunedSegment, ...],
    *,
    archive_sha256: str | None = None,
    reason: str = "retention",
) -> Pruned:
    """The body for a tree that ends where the segments to go end; `chain_hash` is the one there."""
    return Pruned(
        stream=stream,
        minimum_index=tree.size,
        hashes=tuple(write_base64(one) for one in tree.hashes),
        chain_hash=chain_hash.decode(),
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
    return found
