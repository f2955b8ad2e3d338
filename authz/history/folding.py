"""Millions of records to a few profiles with counts, as they are read.

Of most records nothing is parsed: they are cut (`cutting`), and the same was there before. Of the others no more is
than tells profiles apart, and all of it only where that is met for the first time.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from authz.audit import LedgerDamagedError, LedgerUnreadableError
from authz.core import EVENT_TYPES
from authz.history.cutting import Kind, address_of, cut
from authz.history.profile import Profile, Recorded, ownership, path_pattern, profile_of

_KINDS: Final = frozenset(name for name, row in EVENT_TYPES.items() if "decision" in row.required)
_MOST_SHAPES: Final = 200_000
"""So many different cuts are remembered; after that all are forgotten, so that memory stays small."""
_MOST_KINDS: Final = 20_000
"""The same of cuts made without parsing, which are longer."""
_TS_AFTER: Final = 73
"""Where `prev` ends."""
_NONE: Final = msgspec.Raw()
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Addresses = Callable[[str | None], str | None]
"""Which address stands for this one; None where that cannot be told."""


class Tally:
    """How often a profile came, for whom, and when first and last. `subjects` is None where nobody asks for them."""

    __slots__ = ("_first", "_last", "count", "subjects")

    def __init__(self, line: bytes) -> None:
        self.count = 0
        self.subjects: set[str] | None = set()
        self._first = self._last = line

    @classmethod
    def of(cls, count: int, first: str, last: str) -> "Tally":
        """One that was counted elsewhere, without subjects. Raises ValueError for times that are none."""
        made = cls(_timed(first))
        made.count, made._last, made.subjects = count, _timed(last), None
        return made

    def add(self, subject: str | None, line: bytes) -> None:
        """One more."""
        self.count += 1
        self._last = line
        if self.subjects is not None and subject:
            self.subjects.add(subject)

    @property
    def first(self) -> str:
        """When it came first, as recorded."""
        return _ts(self._first).decode()

    @property
    def last(self) -> str:
        """When it came last."""
        return _ts(self._last).decode()

    def copy(self) -> "Tally":
        """Another one, that counts on by itself."""
        copied = Tally(self._first)
        copied.count, copied._last = self.count, self._last
        copied.subjects = None if self.subjects is None else set(self.subjects)
        return copied

    def merge(self, other: "Tally") -> None:
        """The other's too."""
        self.count += other.count
        if self.subjects is not None and other.subjects is not None:
            self.subjects |= other.subjects
        self._first = min(self._first, other._first, key=_ts)  # noqa: SLF001
        self._last = max(self._last, other._last, key=_ts)  # noqa: SLF001


class Fold:
    """Takes the records of a ledger as `verify(reader=...)` hands them over.

    `since`: earlier ones do not count (RFC 3339 as recorded). `moments`: times, as recorded, at which a policy's
    answers may change. `addresses`: None where the policy does not look at them. `met` is told which profiles a block
    of records brought for the first time.
    """

    def __init__(
        self,
        since: str = "",
        *,
        moments: Sequence[str] = (),
        addresses: Addresses | None = None,
        met: Callable[[list[Profile]], None] | None = None,
    ) -> None:
        self.tallies: dict[Profile, Tally] = {}
        self.decisions = 0
        self._since = since.encode()
        self._moments = sorted(each.encode() for each in moments)
        self._addresses = addresses
        self._met = met
        self._known: dict[tuple[Kind, str | None, int], Tally] = {}
        self._shapes: dict[tuple[object, ...], Tally] = {}
        self._next: dict[str, int] = {}
        self._new: list[Profile] = []

    def read(self, stream: str, lines: Sequence[bytes], first: int) -> None:
        """Raises LedgerUnreadableError, LedgerDamagedError."""
        if first < self._next.get(stream, 1):
            raise LedgerUnreadableError(f"{stream}: segments were pruned while they were read; run it again")
        self._next[stream] = first + len(lines)
        if lines and _ts(lines[-1]) >= self._since:
            for moment, part in self._parts(lines):
                self._take(part, moment)
        if self._new and self._met is not None:
            self._met(self._new)
            self._new = []

    def _parts(self, lines: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
        """The lines that count, in pieces between two of the moments: nearly always one."""
        cuts = [self._since, *self._moments]
        begin, end = _ts(lines[0]), _ts(lines[-1])
        if not any(begin <= cut <= end for cut in cuts):
            yield sum(cut < begin for cut in self._moments), lines
            return
        for line in lines:
            at = _ts(line)
            if at >= self._since:
                yield sum(cut < at for cut in self._moments), (line,)

    def _take(self, lines: Sequence[bytes], moment: int) -> None:
        known, addresses = self._known, self._addresses
        for line in lines:
            found = cut(line)
            if found is None:
                self._take_parsed(line, moment)
                continue
            kind, subject, tail = found
            address = None if addresses is None else addresses(address_of(line, tail))
            tally = known.get((kind, address, moment))
            if tally is None:
                self._take_parsed(line, moment, kind)
                continue
            self.decisions += 1
            tally.add(None if tally.subjects is None else subject.decode(), line)

    def _take_parsed(self, line: bytes, moment: int, kind: Kind | None = None) -> None:
        """One record, if it is a decision; others of its kind are known by it."""
        try:
            seen = _look(line)
        except _UNREADABLE as error:
            raise LedgerDamagedError(f"a record cannot be read as one: {error}") from None
        if seen.type not in _KINDS:
            return
        address = self._addresses(seen.ip) if self._addresses is not None else None
        shape = (*_shape(seen), address, moment)
        tally = self._shapes.get(shape)
        if tally is None:
            tally = self._met_first(shape, line, address, moment)
        if kind is not None:
            if len(self._known) >= _MOST_KINDS:
                self._known.clear()
            self._known[kind, address, moment] = tally
        self.decisions += 1
        tally.add(seen.subject, line)

    def _met_first(self, shape: tuple[object, ...], line: bytes, address: str | None, moment: int) -> Tally:
        """The tally of a record that is not like one before, as far as that is remembered."""
        try:
            profile = profile_of(_decode(line), address, moment)
        except _UNREADABLE as error:
            raise LedgerDamagedError(f"a record that says it is a decision cannot be read as one: {error}") from None
        tally = self.tallies.get(profile)
        if tally is None:
            tally = self.tallies[profile] = Tally(line)
            self._new.append(profile)
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        self._shapes[shape] = tally
        return tally


def is_decided(line: bytes) -> bool:
    """Whether a record is one of a decision that a policy made. Raises LedgerDamagedError where it is no record."""
    try:
        found = _type_of(line)
    except _UNREADABLE as error:
        raise LedgerDamagedError(f"a record cannot be read as one: {error}") from None
    return found.type in _KINDS and found.revision is not None


class _Typed(msgspec.Struct, gc=False):
    type: str
    revision: str | None = None


class _Seen(msgspec.Struct, gc=False):
    """What tells profiles apart, parsed no further than that takes: two decisions with the same have one profile."""

    type: str
    subject: str | None = None
    decision: str | None = None
    reason: str | None = None
    revision: str | None = None
    enforced: bool = True
    subject_type: str | None = None
    subject_source: str | None = None
    issuer: str | None = None
    roles: msgspec.Raw = _NONE
    token_scopes: msgspec.Raw = _NONE
    scope_mode: str | None = None
    claims: msgspec.Raw = _NONE
    scopes: msgspec.Raw = _NONE
    granted_by: msgspec.Raw = _NONE
    action: str | None = None
    route: str | None = None
    params: dict[str, str] | None = None
    path: str | None = None
    resource: msgspec.Raw = _NONE
    host: str | None = None
    ip: str | None = None


def _shape(seen: _Seen) -> tuple[object, ...]:
    subject, params = seen.subject, seen.params
    return (
        seen.decision,
        seen.reason,
        seen.revision,
        seen.enforced,
        subject is None,
        seen.subject_type,
        seen.subject_source,
        seen.issuer,
        bytes(seen.roles),
        bytes(seen.token_scopes),
        seen.scope_mode,
        bytes(seen.claims),
        bytes(seen.scopes),
        bytes(seen.granted_by),
        seen.action,
        seen.route,
        tuple([(name, ownership(subject, value)) for name, value in params.items()]) if params else None,
        None if seen.path is None else path_pattern(seen.path, subject),
        bytes(seen.resource),
        seen.host,
    )


def _timed(ts: str) -> bytes:
    """A line with nothing but its time in it."""
    datetime.fromisoformat(ts)
    return b" " * _TS_AFTER + b',"ts":"' + ts.encode() + b'"'


def _ts(line: bytes) -> bytes:
    at = line.find(b',"ts":"', _TS_AFTER) + 7
    return line[at : at + 27]


_type_of = msgspec.json.Decoder(_Typed).decode
_look = msgspec.json.Decoder(_Seen).decode
_decode = msgspec.json.Decoder(Recorded).decode
