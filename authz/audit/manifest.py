"""What an archive of a ledger holds, run by run: small files that are written once and name the one before them.

    <archive>/manifests/<stream>/<index after the last record, 12 digits>.json

The digest of the newest one therefore stands for all that was ever archived of a stream, in its order.
"""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.audit.sealed import Position
from authz.tlog import CompactRange, TlogError, read_base64, write_base64

FORMAT: Final = "authz-archive/1"

_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Count = Annotated[int, Meta(ge=0)]
_NAME: Final = "[0-9]" * 12 + ".json"


class Place(Struct, frozen=True):
    """A place between two records: `index` records are before it, `hashes` (base64) are the tree over them."""

    index: _Count
    hashes: tuple[str, ...]
    chain_hash: _Digest

    @classmethod
    def of(cls, position: Position) -> "Place":
        """From the same in memory."""
        hashes = tuple(write_base64(one) for one in position.hashes)
        return cls(position.size, hashes, position.chain_hash.decode())

    def position(self) -> Position:
        """The same in memory. Raises MalformedError when no tree has these hashes."""
        hashes = tuple(read_base64(one, "manifest: hash") for one in self.hashes)
        return Position(CompactRange(self.index, hashes).size, hashes, self.chain_hash.encode())


class ArchivedSegment(Struct, frozen=True, kw_only=True):
    """`size_bytes` and `sha256` (hex) are of the uncompressed file, `stored_...` of the archive's compressed one.

    `counted_bytes`: how much of it are records; what follows was left by a crash and is kept as evidence.
    """

    name: Annotated[str, Meta(pattern=r"^[0-9]{12}\.jsonl\Z")]
    first_ts: str
    last_ts: str
    size_bytes: _Count
    counted_bytes: _Count
    sha256: _Digest
    stored_bytes: _Count
    stored_sha256: _Digest


class Manifest(Struct, frozen=True, kw_only=True):
    """One run: `segments` from `begin` to `end`, and the signed checkpoint they were found to be under.

    `tiles_since`: the tiles of the checkpoint's tree that a tree of this size did not have were copied in this run.
    `previous`: SHA-256 of the manifest before; None in the first one. `keys`: the node's own statement, no proof.
    """

    format: str = FORMAT
    origin: str
    stream: str
    begin: Place
    end: Place
    segments: tuple[ArchivedSegment, ...]
    checkpoint_size: _Count
    checkpoint_sha256: _Digest
    tiles_since: _Count
    keys: tuple[str, ...]
    previous: _Digest | None


class Kept(Struct, frozen=True):
    """A manifest with the SHA-256 of its file, in hex."""

    manifest: Manifest
    sha256: str


_decode: Final = msgspec.json.Decoder(Manifest).decode


def manifest_path(archive: Path, stream: str, end: int) -> Path:
    """Where the manifest of the run that ended there lies."""
    return archive / "manifests" / stream / f"{end:012d}.json"


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as it is written."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def manifests(archive: Path, stream: str) -> list[Kept]:
    """The manifests of a stream, oldest first; each goes on from the one before.

    Raises LedgerDamagedError when they do not, or one is not a manifest, LedgerUnreadableError.
    """
    found: list[Kept] = []
    for path in sorted((archive / "manifests" / stream).glob(_NAME)):
        try:
            data = path.read_bytes()
            kept = Kept(_decode(data), sha256(data).hexdigest())
            kept.manifest.begin.position()
            kept.manifest.end.position()
        except OSError as error:
            raise LedgerUnreadableError(f"{path}: {error.strerror}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, TlogError) as error:
            raise LedgerDamagedError(f"{path}: is not a manifest: {error}") from None
        _check(path, kept.manifest, stream, found[-1] if found else None)
        found.append(kept)
    return found


def _check(path: Path, manifest: Manifest, stream: str, before: Kept | None) -> None:
    if (manifest.format, manifest.stream, path.name) != (FORMAT, stream, f"{manifest.end.index:012d}.json"):
        raise LedgerDamagedError(f"{path}: is the manifest of something else")
    if before is None:
        follows = manifest.previous is None
    else:
        follows = (manifest.previous, manifest.begin, manifest.origin) == (
            before.sha256,
            before.manifest.end,
            before.manifest.origin,
        )
    if not follows:
        raise LedgerDamagedError(f"{path}: does not go on from the manifest before it: one was changed or is missing")


def archived_streams(archive: Path) -> list[str]:
    """The streams that an archive holds something of. Raises LedgerUnreadableError when it is no archive."""
    try:
        return sorted(path.name for path in (archive / "manifests").iterdir() if path.is_dir())
    except OSError as error:
        raise LedgerUnreadableError(f"{archive}: is not an archive of a ledger: {error.strerror}") from None
