"""How far the index has come in each stream, and whether the ledger here is the one it came through."""

import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from authz.audit.segment import is_segment_of, segment_names
from authz.audit.stored import is_stored, open_segment
from authz.audit.trail import Place


class Taken(NamedTuple):
    """The place after the last record taken of a stream, and where that record begins; None: it was no record."""

    place: Place
    last: int | None


def read_places(database: sqlite3.Connection) -> dict[str, Taken]:
    """By stream. Raises sqlite3.Error."""
    found = database.execute("SELECT name, segment, offset, seq, last, sha256 FROM streams")
    return {
        name: Taken(Place(segment, offset, seq, None if digest is None else digest.hex().encode()), last)
        for name, segment, offset, seq, last, digest in found
    }


def places_fit(places: Mapping[str, Taken], audit: Path) -> bool:
    """Whether the record taken last lies in each stream where it was: else this is another ledger, or another state.

    A segment that was pruned is no reason to doubt. Raises OSError.
    """
    return all(_fits(audit / stream, taken) for stream, taken in places.items() if taken.place.segment)


def _fits(directory: Path, taken: Taken) -> bool:
    place, last = taken
    if not is_segment_of(directory.name, place.segment) or not directory.is_dir():
        return False
    path = directory / place.segment
    if not is_stored(path):
        kept = segment_names(directory)
        return bool(kept) and kept[0] > place.segment
    if last is None:
        return True
    with open_segment(path, 8192) as file:
        file.seek(last)
        line = file.read(place.offset - last)
    return line.endswith(b"\n") and sha256(line[:-1]).hexdigest().encode() == place.prev
