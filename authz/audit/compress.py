"""Compression of segments that are sealed and signed for: the same bytes in a sixth of the space.

Nothing that is written to or that recovery would go on from is touched: never the newest two segments of a stream,
and only what a published checkpoint covers to its last record.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.files import Files
from authz.audit.frames import DamagedFileError, blocks_of, compressed, open_compressed
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.new_file import digest_of, write_new_file
from authz.audit.published import published_size
from authz.audit.segment import first_seq, segment_names
from authz.audit.stored import compressed_path
from authz.audit.upkeep import UpkeepBusyError, upkeep

YOUNGEST: Final = 2
"""As many of the newest segments of a stream stay as the writer left them."""

RETRY_SECONDS: Final = 600.0
"""How long a segment that could not be compressed is left alone."""


class Compression(NamedTuple):
    """What one round did: `<stream>/<segment>` of each segment compressed, and a sentence for each that could not be.

    A sentence is worth an alarm; the raw file is still there and still read.
    """

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Compressor:
    """Compresses the segments of all streams in an audit directory, a few at each call. Not safe across threads."""

    def __init__(self, audit: Path, files: Files | None = None, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._files = files or Files()
        self._elapsed = elapsed
        self._again_at: dict[Path, float] = {}

    def round(self, most: int = 1) -> Compression:
        """Compress at most as many segments, oldest first. A few hundred milliseconds for each.

        Nothing is done while another process does something of the kind. Raises LedgerUnreadableError.
        """
        try:
            with upkeep(self._audit):
                return self._round(most)
        except UpkeepBusyError:
            return Compression()
        except OSError as error:
            raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None

    def _round(self, most: int) -> Compression:
        done: list[str] = []
        failed: list[str] = []
        now = self._elapsed()
        for path in self._due(now):
            if len(done) + len(failed) >= most:
                break
            name = f"{path.parent.name}/{path.name}"
            try:
                compress(path, self._files)
                done.append(name)
            except OSError as error:
                self._again_at[path] = now + RETRY_SECONDS
                failed.append(f"{name} is not compressed: {error.strerror or error}")
        return Compression(tuple(done), tuple(failed))

    def _due(self, now: float) -> Iterator[Path]:
        for directory in stream_directories(self._audit):
            for path in compressible(directory, published_size(self._audit, directory.name)):
                if self._again_at.get(path, now) <= now:
                    yield path


def compress_sealed(audit: Path) -> Compression:
    """Compress all that may be compressed in an audit directory. Raises LedgerUnreadableError."""
    return Compressor(audit).round(most=1 << 30)


def compressible(directory: Path, covered_records: int) -> Iterator[Path]:
    """The raw segments of a stream, oldest first, of which each record is among the first `covered_records`."""
    present = {path.name for path in directory.iterdir()}
    for name, following in pairwise(segment_names(directory)[: 1 - YOUNGEST]):
        if first_seq(following) - 1 <= covered_records and name in present:
            yield directory / name


def compress(path: Path, files: Files) -> None:
    """Put the compressed form of a segment in the place of the raw one. The caller holds the ledger's `upkeep`.

    At every moment one whole form is on the device. What an earlier call left unfinished is finished. Raises OSError;
    then the raw file is untouched.
    """
    target = compressed_path(path)
    if target.exists():
        with path.open("rb") as file:
            digest = digest_of(file)
        _check(target, digest)
    else:
        _check_space(path)
        _write(path, target, files)
    files.sync_directory(path.parent)
    path.unlink()
    files.sync_directory(path.parent)


def _write(path: Path, target: Path, files: Files) -> None:
    digest = sha256()

    def read(block: bytes) -> bytes:
        digest.update(block)
        return block

    with path.open("rb") as file:
        pieces = compressed(map(read, blocks_of(file)))
        write_new_file(target, pieces, files, lambda part: _check(part, digest.hexdigest()))


def _check(target: Path, digest: str) -> None:
    with open_compressed(target) as file:
        if digest_of(file) != digest:
            raise DamagedFileError(None, "the compressed form holds other bytes than the raw one", str(target))


def _check_space(path: Path) -> None:
    """While it is compressed a segment takes up to twice its size: a disk that is nearly full is left to the writer."""
    size = path.stat().st_size
    if shutil.disk_usage(path.parent).free < 2 * size:
        raise OSError(None, f"less than {2 * size} bytes are free on the disk", str(path))
