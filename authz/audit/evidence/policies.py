"""The policy bundles that records name by their revision."""

from pathlib import Path
from typing import NamedTuple

from authz.bundle import BundleError, read, shipped_archive


class KeptPolicy(NamedTuple):
    """One revision. `archive` is its bundle as a file; None where none was kept, and `origin` says what was found."""

    revision: str
    archive: bytes | None
    origin: str


def kept_policy(state: Path, revision: str) -> KeptPolicy:
    """The bundle of this revision: as the state directory keeps it, else the one shipped if that is the revision."""
    for name in (revision, f"{revision}.tar.gz"):
        archive = _kept(state / "bundles", name)
        if archive is not None and _revision(archive) == revision:
            return KeptPolicy(revision, archive, "kept when it was active")
    archive = _shipped()
    if archive is not None and _revision(archive) == revision:
        return KeptPolicy(revision, archive, "shipped with this version of the service")
    return KeptPolicy(revision, None, "not kept")


def _kept(directory: Path, name: str) -> bytes | None:
    """A revision comes out of a record: it must not lead anywhere else. Raises OSError."""
    path = directory / name
    if path.parent != directory or not path.is_file():
        return None
    return path.read_bytes()


def _shipped() -> bytes | None:
    try:
        return shipped_archive()
    except BundleError:
        return None


def _revision(archive: bytes) -> str | None:
    try:
        return read(archive).revision
    except BundleError:
        return None
