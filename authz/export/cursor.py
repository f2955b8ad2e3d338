"""How far an export has come, so that the next one goes on there."""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from authz.core import BadRequestError

_FORMAT: Final = "authz-export/1"


class Cursor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each source (`here`, or a URL) and each stream of it the number of the last record that was exported.

    `until`: for each source the time of the newest of them.
    """

    format: str = _FORMAT
    streams: dict[str, dict[str, int]] = {}
    until: dict[str, str] = {}

    def after(self, source: str) -> dict[str, int]:
        """Where to go on, for each stream of a source."""
        return self.streams.get(source, {})


def read_cursor(file: Path | None) -> Cursor:
    """The cursor in a file; the beginning where there is none yet. Raises BadRequestError."""
    if file is None or not file.exists():
        return Cursor()
    try:
        cursor = msgspec.json.decode(file.read_bytes(), type=Cursor)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequestError(f"--cursor: {file} cannot be read: {error}") from None
    if cursor.format != _FORMAT:
        raise BadRequestError(f"--cursor: {file} is {cursor.format!r}, not {_FORMAT}")
    return cursor
