"""The three values that every format here is made of, read in their one form: numbers, base64, hashes."""

import binascii
import re
from base64 import b64decode, b64encode
from typing import Final

from authz.tlog.errors import MalformedError

HASH_BYTES: Final = 32
"""Length of a SHA-256."""

MAX_SIZE: Final = 2**63 - 1
"""Most leaves of a tree: what every implementation can count, Go's int64 among them."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_NOT_TEXT: Final = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


def read_number(text: str, what: str) -> int:
    """A decimal number without sign, leading zero or separator. Raises MalformedError, which names `what`."""
    if _NUMBER.fullmatch(text) is None or (number := int(text)) > MAX_SIZE:
        raise MalformedError(f"{what}: not a decimal number from 0 to {MAX_SIZE}: {text[:32]!r}")
    return number


def read_base64(text: str, what: str) -> bytes:
    """Standard base64 with its padding and no stray bits (RFC 4648 section 4). Raises MalformedError."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if write_base64(data) != text:
        raise MalformedError(f"{what}: not standard base64: {text[:64]!r}")
    return data


def read_hash(text: str, what: str) -> bytes:
    """A SHA-256 in base64. Raises MalformedError."""
    data = read_base64(text, what)
    if len(data) != HASH_BYTES:
        raise MalformedError(f"{what}: a hash of {len(data)} bytes, not {HASH_BYTES}")
    return data


def write_base64(data: bytes) -> str:
    """Standard base64 with padding."""
    return b64encode(data).decode()


def read_text(data: bytes, what: str) -> str:
    """UTF-8 without control characters other than LF. Raises MalformedError."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what}: not UTF-8 at byte {error.start}") from None
    check_text(text, what)
    return text


def check_text(text: str, what: str) -> None:
    """Raises MalformedError for control characters other than LF, and for what has no UTF-8."""
    if (found := _NOT_TEXT.search(text)) is not None:
        raise MalformedError(f"{what}: the character {ord(found[0]):#06x} is not allowed in it")
