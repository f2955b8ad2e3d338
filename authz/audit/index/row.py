"""What the index keeps of a record: everything in a row can be made again from the record it points to.

Values that differ from record to record (ids, subjects, addresses) are kept as 64 bits of their hash. Those that many
records share (type, reason, route, roles, ...) are kept together, as the record's shape: there are few of them.
A collision costs a look at a record that is then not shown.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.record import microseconds

STREAM_BITS: Final = 11
"""Of a position: streams of one node are told apart by so many bits."""

OTHER: Final = 0
"""The shape of records whose own is too large, or one too many: each of them is looked at."""

MAX_SHAPE_BYTES: Final = 4096
DIGEST_BYTES: Final = 16

SHAPE_FIELDS: Final = (
    "type", "operation", "decision", "reason", "scopes", "missing", "scope", "roles", "route", "action", "method",
)  # fmt: skip
VALUE_FIELDS: Final = ("subject", "session_id", "request_id", "ip")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Any]).decode


class Row(NamedTuple):
    """The columns of a record, in the order of the table, but for the segment and the shape's number.

    `pos` orders all events: by time, then by stream. `params`: the hashes of route parameters, 8 bytes each.
    """

    pos: int
    seq: int
    offset: int
    length: int
    digest: bytes
    id: int
    subject: int | None
    session_id: int | None
    request_id: int | None
    ip: int | None
    params: bytes | None


def position(ts: str, stream: int) -> int:
    """Where an event stands among all. In one stream no two records have the same time. Raises ValueError."""
    return microseconds(ts) << STREAM_BITS | stream


def row_of(fields: Mapping[str, Any], stream: int, offset: int, line: bytes, sha256: bytes) -> Row:
    """The row of a record. Raises ValueError when its time is none."""
    return Row(
        position(fields["ts"], stream),
        fields["seq"],
        offset,
        len(line),
        bytes.fromhex(sha256[: 2 * DIGEST_BYTES].decode()),
        id_key(fields.get("id")) or 0,
        value_key(fields.get("subject")),
        value_key(fields.get("session_id")),
        id_key(fields.get("request_id")),
        value_key(fields.get("ip")),
        _params(fields.get("params")),
    )


def shape_of(fields: Mapping[str, Any]) -> bytes | None:
    """The shape of a record, as it is kept; None for one that is too large to be."""
    encoded = _encode([fields.get(name) for name in SHAPE_FIELDS])
    return encoded if len(encoded) <= MAX_SHAPE_BYTES else None


def shape_fields(shape: bytes) -> dict[str, Any]:
    """A shape as a record that has no more than that. Raises msgspec.MsgspecError."""
    return dict(zip(SHAPE_FIELDS, _decode(shape), strict=True))


def value_key(value: object) -> int | None:
    """What is kept of a value; None of what is no text, which no search finds."""
    return _hashed(value) if isinstance(value, str) else None


def id_key(value: object) -> int | None:
    """The same for ids: the first half of a UUID as it is, so that those that sort by time lie beside each other."""
    if not isinstance(value, str):
        return None
    if len(value) == 36 and value[8:24:5] == "----":
        try:
            return _signed(int(value[:8] + value[9:13] + value[14:18], 16))
        except ValueError:
            pass
    return _signed(int.from_bytes(blake2b(value.encode(), digest_size=8).digest()))


def param_key(name: str, value: object) -> int | None:
    """What is kept of a route parameter."""
    return _hashed(f"{name}\0{value}") if isinstance(value, str) else None


def _params(params: object) -> bytes | None:
    if not isinstance(params, dict) or not params:
        return None
    keys = (param_key(name, value) for name, value in params.items())
    return b"".join(key.to_bytes(8, signed=True) for key in keys if key is not None)


def param_keys(params: bytes | None) -> list[int]:
    """The hashes in a row's `params`."""
    data = params or b""
    return [int.from_bytes(data[start : start + 8], signed=True) for start in range(0, len(data), 8)]


@lru_cache(16_384)
def _hashed(text: str) -> int:
    return _signed(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))


def _signed(number: int) -> int:
    """As SQLite keeps integers."""
    return number - (1 << 64) if number >> 63 else number
