"""What a record looks like in each format."""

import csv
import io
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit import Recorded
from authz.export.ocsf import api_activity

PARQUET: Final = (
    "parquet: is not written here, for no library that can is small enough to ship with a sidecar. Export jsonl, then: "
    "duckdb -c \"COPY (FROM 'FILE.jsonl') TO 'FILE.parquet'\""
)


class Format(NamedTuple):
    """`head`: what the file begins with. `line`: one record of a source, with whatever ends it."""

    head: bytes
    line: Callable[[str, Recorded], bytes]


_PLAIN: Final = (
    "ts", "seq", "id", "type", "decision", "reason", "operation", "subject", "subject_type", "issuer", "action",
    "route", "host", "ip", "user_agent", "session_id", "request_id", "trace_id", "caller", "dialect", "channel",
    "revision", "engine",
)  # fmt: skip
_NESTED: Final = ("roles", "scopes", "missing", "params", "resource", "context")
COLUMNS: Final = ("source", "stream", *_PLAIN, *_NESTED)

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet would take for a formula (OWASP, CSV Injection)."""


def _csv_row(cells: tuple[str, ...]) -> bytes:
    """RFC 4180, CRLF included: with any other end of line a CR in a cell would not be quoted."""
    row = io.StringIO()
    csv.writer(row).writerow(cells)
    return row.getvalue().encode(errors="replace")


def _cell(value: Any) -> str:
    """A text as it is; a list of words by spaces; anything else as JSON. None of them is a formula."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, str) and " " not in each for each in value):
        value = " ".join(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(source: str, record: Recorded) -> bytes:
    event = record.event
    cells = (event.get(name) for name in (*_PLAIN, *_NESTED))
    return _csv_row(tuple(_cell(each) for each in (source, record.stream, *cells)))


def _jsonl(_source: str, record: Recorded) -> bytes:
    return record.line + b"\n"


def _ocsf(source: str, record: Recorded) -> bytes:
    return msgspec.json.encode(api_activity(source, record)) + b"\n"


FORMATS: Final[dict[str, Format]] = {
    "jsonl": Format(b"", _jsonl),
    "csv": Format(_csv_row(COLUMNS), _csv),
    "ocsf": Format(b"", _ocsf),
}
