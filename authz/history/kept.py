"""Profiles in a file: what was asked and decided, how often and when, and not by whom."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from authz.core import AuthzError
from authz.history.folding import Tally
from authz.history.profile import Profile

_FORMAT: Final = "authz-profile/1"


class ProfileUnreadableError(AuthzError):
    """The file of profiles cannot be read, or is none."""

    code = "profile_unreadable"


class _Head(Struct, frozen=True):
    format: str
    profiles: int


class _Row(Struct, frozen=True):
    profile: Profile
    decisions: int
    first: str
    last: str


def write_profiles(path: Path, profiles: Mapping[Profile, Tally]) -> None:
    """One JSON line for each profile after one that says what it is. Raises OSError."""
    rows = [_Row(profile, tally.count, tally.first, tally.last) for profile, tally in profiles.items()]
    lines: Iterator[bytes] = map(msgspec.json.encode, [_Head(_FORMAT, len(rows)), *rows])
    path.write_bytes(b"\n".join(lines) + b"\n")


def read_profiles(path: Path) -> dict[Profile, Tally]:
    """The profiles of a file, without subjects. Raises ProfileUnreadableError."""
    try:
        lines = path.read_bytes().splitlines()
        head = msgspec.json.decode(lines[0] if lines else b"", type=_Head)
        rows = [msgspec.json.decode(line, type=_Row) for line in lines[1:]]
        found = {row.profile: Tally.of(row.decisions, row.first, row.last) for row in rows}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise ProfileUnreadableError(f"{path}: {error}") from None
    if head.format != _FORMAT or len(found) != head.profiles:
        raise ProfileUnreadableError(f"{path}: not the {_FORMAT} that was written: cut, or of another making")
    return found
