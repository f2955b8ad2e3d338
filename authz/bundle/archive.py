"""Bundle archives, gzipped tar: read with suspicion, written the same on every machine."""

import io
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from msgspec import Struct

from authz.bundle.errors import BundleError

_STORED_BLOCK_BYTES = 65_535


class Limits(Struct, frozen=True):
    """How much an archive may hold: bytes as it comes, bytes unpacked, and members."""

    archive_bytes: int = 16 * 1024 * 1024
    unpacked_bytes: int = 64 * 1024 * 1024
    members: int = 10_000


def unpack(archive: bytes, limits: Limits) -> dict[str, bytes]:
    """The members of an archive by name, without a leading slash.

    Raises BundleError: over a limit, not an archive, or holding anything but plain files with plain, distinct names.
    """
    if len(archive) > limits.archive_bytes:
        raise BundleError(f"the bundle has {len(archive)} bytes, more than {limits.archive_bytes}")
    raw = _gunzip(archive, limits.unpacked_bytes)
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            return _members(tar, limits.members)
    except tarfile.TarError as error:
        raise BundleError(f"the bundle is not a tar archive: {error}") from error


def pack(members: Mapping[str, bytes]) -> bytes:
    """An archive of `members`, a function of their names and contents only.

    Deflate's stored blocks: compressed bytes would depend on the machine's zlib.
    """
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return _gzip(tar_bytes.getvalue())


def write(path: Path, archive: bytes) -> None:
    """Put an archive in a file, whole or not at all: nobody reads half a bundle. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(archive)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _gunzip(archive: bytes, most: int) -> bytes:
    """In one call that lets other threads run: a large bundle is unpacked beside decisions."""
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        # One byte over the limit is enough to know; what a bomb holds beyond it is never unpacked.
        raw = unpacking.decompress(archive, most + 1)
    except zlib.error as error:
        raise BundleError(f"the bundle is not gzip: {error}") from error
    if len(raw) > most:
        raise BundleError(f"the bundle unpacks to more than {most} bytes")
    if not unpacking.eof:
        raise BundleError("the bundle is not gzip: it ends too early")
    # Readers do not agree on what follows the first gzip member.
    if unpacking.unused_data:
        raise BundleError("the bundle goes on after its end")
    return raw


def _members(tar: tarfile.TarFile, most: int) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for count, entry in enumerate(tar, start=1):
        if count > most:
            raise BundleError(f"the bundle has more than {most} members")
        if entry.isdir():
            continue
        name = _plain_name(entry)
        if name in members:
            raise BundleError(f"the bundle holds {name!r} twice")
        members[name] = _content(tar, entry).read()
    return members


def _plain_name(entry: tarfile.TarInfo) -> str:
    """The name without the one leading slash that `opa build` writes."""
    name = entry.name.removeprefix("/")
    # A sparse member would unpack to more than the archive's limit lets through.
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
        raise BundleError(f"the bundle's {name!r} is not a plain file")
    if "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise BundleError(f"the bundle's member name {entry.name!r} is not a plain path")
    return name


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(entry)
    if content is None:
        raise BundleError(f"the bundle's {entry.name!r} has no content")
    return content


def _gzip(raw: bytes) -> bytes:
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return header + b"".join(_stored_blocks(raw)) + struct.pack("<LL", zlib.crc32(raw), len(raw) & 0xFFFFFFFF)


def _stored_blocks(raw: bytes) -> Iterator[bytes]:
    for start in range(0, len(raw), _STORED_BLOCK_BYTES):
        block = raw[start : start + _STORED_BLOCK_BYTES]
        is_last = start + _STORED_BLOCK_BYTES >= len(raw)
        yield struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF) + block
