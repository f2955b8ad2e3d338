"""Where a page of a search ended, as callers carry it: opaque to them, and good for ever.

It says which event was the last one seen, not how many there were: whatever is recorded meanwhile moves nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from authz.audit.record import microseconds
from authz.core import BadRequestError

Position = tuple[str, str, int]
"""Where an event stands among all: `ts`, stream, `seq`."""

_PREFIX: Final = "c1."


def is_cursor(text: str) -> bool:
    """Whether this is meant to be a cursor and not an event's id."""
    return text.startswith(_PREFIX)


def write_cursor(position: Position) -> str:
    """The cursor of an event."""
    return _PREFIX + urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read_cursor(text: str) -> Position:
    """The position in a cursor. Raises BadRequestError for what is none."""
    body = text.removeprefix(_PREFIX)
    try:
        position: Position = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Position)
        microseconds(position[0])
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise BadRequestError("cursor: it is not one that this service gave") from None
    return position
