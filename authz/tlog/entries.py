"""Entry bundles (https://c2sp.org/tlog-tiles): up to 256 entries, each after its length in two bytes, big-endian."""

from collections.abc import Sequence
from typing import Final

from authz.tlog.errors import MalformedError
from authz.tlog.tile_paths import TILE_WIDTH

MAX_ENTRY_BYTES: Final = 65_535
"""Longest entry of a bundle: its length is written in two bytes."""


def entry_bundle(lines: Sequence[bytes]) -> bytes:
    """1 to 256 entries as a bundle. Raises MalformedError when they are more or less, or one is too long."""
    _check_width(len(lines))
    for line in lines:
        if len(line) > MAX_ENTRY_BYTES:
            raise MalformedError(f"entry bundle: an entry of {len(line)} bytes, more than {MAX_ENTRY_BYTES}")
    return b"".join(len(line).to_bytes(2, "big") + line for line in lines)


def read_entry_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises MalformedError when it is cut, or holds none or more than 256."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise MalformedError(f"entry bundle: cut in entry {len(entries)}")
        entries.append(data[start:at])
    _check_width(len(entries))
    return entries


def _check_width(width: int) -> None:
    if not 1 <= width <= TILE_WIDTH:
        raise MalformedError(f"entry bundle: {width} entries, not 1 to {TILE_WIDTH}")
