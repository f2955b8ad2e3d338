"""JSON of which two readers cannot see two different documents, and the form in which OPA hashes it."""

import json
from typing import Any, Final

_LINE_SEPARATORS: Final = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


class NotStrictError(ValueError):
    """Not JSON, or JSON that may be read in more than one way."""


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def read_strict(text: bytes) -> Any:
    """The document. Raises NotStrictError: not UTF-8, not JSON, a key twice in one object, NaN, a lone surrogate."""
    try:
        document = json.loads(text.decode(), object_pairs_hook=_distinct, parse_constant=_no_constant)
        _ = json.dumps(document, ensure_ascii=False).encode() if b"\\u" in text else b""
    except NotStrictError:
        raise
    except (ValueError, RecursionError) as error:
        raise NotStrictError(str(error)) from None
    return document


def canonical(text: bytes) -> bytes:
    """The form in which OPA hashes a structured file: keys in order, no spaces, numbers as they were written.

    `walk` in `v1/bundle/hash.go` of OPA. Raises NotStrictError.
    """
    unusual: list[str] = []

    def integer(written: str) -> int:
        if written.startswith("-0"):
            unusual.append(written)
        return int(written)

    def fraction(written: str) -> float:
        unusual.append(written)
        return 0.0

    try:
        document = json.loads(
            text.decode(),
            object_pairs_hook=_distinct,
            parse_constant=_no_constant,
            parse_int=integer,
            parse_float=fraction,
        )
        if not unusual:
            spelled = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        else:
            numbered = json.loads(text.decode(), object_pairs_hook=_distinct, parse_int=_Number, parse_float=_Number)
            spelled = _spelled(numbered)
        return spelled.translate(_LINE_SEPARATORS).encode() if not spelled.isascii() else spelled.encode()
    except NotStrictError:
        raise
    except (ValueError, RecursionError) as error:
        raise NotStrictError(str(error)) from None


def _spelled(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_spelled(key)}:{_spelled(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    return str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise NotStrictError(f"key {repeated!r} appears twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise NotStrictError(f"{name} is not JSON")
