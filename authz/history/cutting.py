"""A record cut into what tells profiles apart and what does not, without parsing it: most records are like one before.

No string in JSON holds a bare quote, so that `,"subject":"` is a field and never text. Fields stand in the order of
core.DecisionBody; what the records of a batch have of their own (core.Own) stands at the end. Where a record is not
plain in this sense there is no cut, and it is parsed.
"""

from typing import Final

from authz.history.profile import Ownership, ownership

Owned = tuple[tuple[bytes, Ownership], ...]
Kind = tuple[bytes, bytes, Owned, bytes]
"""Two records with the same have one profile, but for address and time: every byte from the type up to the engine,
without the subject and the values of parameters, and whose these are."""

_TYPE_AFTER: Final = 100
"""`prev` and the beginning of what follows it: the type comes later."""
_TYPE: Final = b',"type":"'
_SUBJECT: Final = b',"subject":"'
_PARAMS: Final = b',"params":{'
_END: Final = b'","engine":"'
_PREFIX: Final = len(b"h1:0123abcd:")


def cut(line: bytes) -> tuple[Kind, bytes, int] | None:
    """The record's kind, its subject (empty where nobody was identified), and where the part begins that is left out.

    None where it has to be parsed.
    """
    begin, end = line.find(_TYPE, _TYPE_AFTER), line.rfind(_END)
    if not 0 < begin < end or not _ends_plainly(line, end):
        return None
    at = line.find(_SUBJECT, begin, end)
    if at < 0:
        subject, head, after = b"", b"", begin
    else:
        head, after = line[begin:at], line.find(b'"', at + 12)
        subject = line[at + 12 : after]
        # Nothing is nested before the subject, or it would be a field of something else.
        if not subject or b"{" in head or b"\\" in subject:
            return None
    params = line.find(_PARAMS, after, end)
    if params < 0:
        return (head, line[after:end], (), b""), subject, end
    close = line.find(b"}", params, end)
    owned = _owned(line[params + 11 : close], subject)
    return None if owned is None else ((head, line[after:params], owned, line[close:end]), subject, end)


def _ends_plainly(line: bytes, end: int) -> bool:
    """Whether nothing is nested in the end, and no field of it matters."""
    return (
        line.find(b"}", end) == len(line) - 1
        and line.find(b',"enforced":', end) < 0
        and line.find(b',"path":"', end) < 0
    )


def address_of(line: bytes, tail: int) -> str | None:
    """The address in the part that is left out."""
    at = line.find(b',"ip":"', tail)
    return line[at + 7 : line.find(b'"', at + 7)].decode() if at > 0 else None


def _owned(inside: bytes, subject: bytes) -> Owned | None:
    parts = inside.split(b'"')
    if b"\\" in inside:
        return None
    if len(parts) == 5:
        plain = parts[2] == b":" and not parts[0] and not parts[4]
        return ((parts[1], _whose(subject, parts[3])),) if plain else None
    if len(parts) % 4 != 1 or parts[0] or parts[-1] or {*parts[2::4]} != {b":"} or {*parts[4:-1:4]} - {b","}:
        return None
    return tuple([(name, _whose(subject, value)) for name, value in zip(parts[1::4], parts[3::4], strict=True)])


def _whose(subject: bytes, value: bytes) -> Ownership:
    # Most are pseudonyms of somebody else under the same key; all others are looked at in full.
    alike = value[:_PREFIX] == subject[:_PREFIX] and value[:3] == b"h1:" and value != subject
    if alike and value.rfind(b":") == _PREFIX - 1 == subject.rfind(b":"):
        return "other"
    return ownership(subject.decode() or None, value.decode())
