"""What the index keeps of a record: everything in a row can be made again from the record it points to.

Records of one segment that follow each other make a *chunk*, CHUNK of them at most. Values that differ from record to
record (ids, subjects, addresses) are kept as 40 bits of their hash, with the number of the chunk in front. So the rows
of a chunk lie beside each other in every index, and to add some touches few pages however large the index has become;
whoever looks for a value looks once in each chunk. Values that many records share (type, reason, route, roles, ...) are
kept together, as the record's *shape*: there are few of them. A collision costs a look at a record that is not shown.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.record import microseconds

CHUNK: Final = 16_384

STREAM_BITS: Final = 11
"""Of a position: streams of one node are told apart by so many bits."""

SHAPE_BITS: Final = 20
VALUE_BYTES: Final = 5

OTHER: Final = 0
"""The shape of records whose own is too large, or one too many: each of them is looked at."""

MAX_SHAPE_BYTES: Final = 4096
DIGEST_BYTES: Final = 16

SHAPE_FIELDS: Final = (
    "type", "operation", "decision", "reason", "scopes", "missing", "scope", "roles", "route", "action", "method",
)  # fmt: skip
VALUE_FIELDS: Final = ("id", "subject", "session_id", "request_id", "ip")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Any]).decode


class Row(NamedTuple):
    """A record in the index: the columns of the table, in their order.

    `pos` orders all events: by time, then by stream. `params`: the hashes of route parameters, VALUE_BYTES each.
    """

    pos: int
    chunk: int
    seq: int
    offset: int
    length: int
    digest: bytes
    shape: int
    id: int | None
    subject: int | None
    session_id: int | None
    request_id: int | None
    ip: int | None
    params: bytes | None


def position(ts: str, stream: int) -> int:
    """Where an event stands among all. In one stream no two records have the same time. Raises ValueError."""
    return microseconds(ts) << STREAM_BITS | stream


def row_of(fields: Mapping[str, Any], pos: int, chunk: int, shape: int, offset: int, line: bytes, sha256: bytes) -> Row:
    """The row of a record."""
    get, front = fields.get, chunk << 8 * VALUE_BYTES
    params = get("params")
    return Row(
        pos,
        chunk,
        fields["seq"],
        offset,
        len(line),
        bytes.fromhex(sha256[: 2 * DIGEST_BYTES].decode()),
        shape_key(chunk, shape),
        _key(front, get("id")),
        _key(front, get("subject")),
        _key(front, get("session_id")),
        _key(front, get("request_id")),
        _key(front, get("ip")),
        _params(params) if params.__class__ is dict else None,
    )


def shape_of(fields: Mapping[str, Any]) -> bytes | None:
    """The shape of a record, as it is kept; None for one that is too large to be."""
    encoded = _encode([fields.get(name) for name in SHAPE_FIELDS])
    return encoded if len(encoded) <= MAX_SHAPE_BYTES else None


def shape_fields(shape: bytes) -> dict[str, Any]:
    """A shape as a record that has no more than that. Raises msgspec.MsgspecError, ValueError."""
    return dict(zip(SHAPE_FIELDS, _decode(shape), strict=True))


def shape_key(chunk: int, shape: int) -> int:
    """What is kept of a shape in a chunk."""
    return chunk << SHAPE_BITS | shape


def value_key(chunk: int, text: str) -> int:
    """What is kept of a value in a chunk."""
    return _hashed(text) | chunk << 8 * VALUE_BYTES


def param_text(name: str, value: str) -> str:
    """A route parameter as the value that is hashed."""
    return f"{name}\0{value}"


def param_keys(chunk: int, params: bytes | None) -> set[int]:
    """What is kept of the route parameters in a row."""
    data, front = params or b"", chunk << 8 * VALUE_BYTES
    return {int.from_bytes(data[at : at + VALUE_BYTES]) | front for at in range(0, len(data), VALUE_BYTES)}


def _key(front: int, value: object) -> int | None:
    """None of what is no text, which no search finds."""
    return _hashed(value) | front if isinstance(value, str) else None


def _params(params: Mapping[str, Any]) -> bytes:
    keys = (_hashed(param_text(name, value)) for name, value in params.items() if isinstance(value, str))
    return b"".join(key.to_bytes(VALUE_BYTES) for key in keys)


@lru_cache(16_384)
def _hashed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=VALUE_BYTES).digest())
