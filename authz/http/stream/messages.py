"""What goes over a decision stream, as text. No HTTP library."""

from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from authz.core import Answered, BadRequestError, Batch, Decision, write_error, write_evaluations, write_item

SUBPROTOCOL: Final = "authz.v1"
"""Offered and chosen in `Sec-WebSocket-Protocol`."""

_ABSENT: Final = Raw(b"null")
_ASKING: Final = ("evaluation", "evaluations", "subscribe")
_Id = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class _Sent(Struct):
    id: _Id
    evaluation: Raw = _ABSENT
    evaluations: Raw = _ABSENT
    subscribe: Raw = _ABSENT
    unsubscribe: bool = False
    decision_id: bool = False


class _Numbered(Struct):
    id: _Id


class Message(NamedTuple):
    """One message of a client. `kind`: `evaluation`, `evaluations`, `subscribe` or `unsubscribe`, and `body` is its."""

    id: int
    kind: str
    body: bytes
    tells_id: bool


class UnreadableError(BadRequestError):
    """A message that asks for nothing that there is. `id`: its own, if that can be read."""

    def __init__(self, message: str, message_id: int | None = None) -> None:
        super().__init__(message)
        self.id = message_id


_decode = msgspec.json.Decoder(_Sent).decode
_decode_number = msgspec.json.Decoder(_Numbered).decode


def read_message(text: str) -> Message:
    """Read one message; unknown members are ignored, null means absent. Raises UnreadableError, naming the field."""
    try:
        sent = _decode(text)
    except msgspec.ValidationError as error:
        raise UnreadableError(_worded(str(error)), _number(text)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise UnreadableError("The message is not valid JSON") from None
    asked = [name for name in _ASKING if getattr(sent, name) != _ABSENT]
    if sent.unsubscribe:
        asked.append("unsubscribe")
    if len(asked) != 1:
        raise UnreadableError("Exactly one of evaluation, evaluations, subscribe, unsubscribe is required", sent.id)
    kind = asked[0]
    return Message(sent.id, kind, b"" if sent.unsubscribe else bytes(getattr(sent, kind)), sent.decision_id)


def write_answer(message_id: int, answer: Answered, *, tells_id: bool, changed: str | None = None) -> bytes:
    """The answer to one question; `changed`: what has changed it, of one that was not asked for again."""
    more = b"" if changed is None else b',"changed":"%b"' % changed.encode()
    if tells_id and isinstance(answer, Decision):
        more += _named(answer.id)
    return _numbered(message_id, write_item(answer), more)


def write_batch(message_id: int, batch: Batch, *, tells_id: bool) -> bytes:
    """The answers to a batch; the id of each decision is the batch's with `.0`, `.1`, ... behind it."""
    return _numbered(message_id, write_evaluations(batch.answers), _named(batch.id) if tells_id else b"")


def write_refusal(message_id: int | None, status: int, code: str, message: str) -> bytes:
    """The answer to a message that never became a question; without an id where none could be read or used."""
    return _numbered(message_id, write_error(status, code, message))


def write_unsubscribed(message_id: int) -> bytes:
    """Nothing more comes under this id."""
    return b'{"id":%d,"unsubscribed":true}' % message_id


def _numbered(message_id: int | None, item: bytes, more: bytes = b"") -> bytes:
    number = b"null" if message_id is None else b"%d" % message_id
    return b'{"id":%b,%b%b}' % (number, item[1:-1], more)


def _named(decision_id: str) -> bytes:
    return b',"decision_id":%b' % msgspec.json.encode(decision_id)


def _number(text: str) -> int | None:
    try:
        return _decode_number(text).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _worded(message: str) -> str:
    """msgspec's message as the other routes have it: the field first."""
    what, _, where = message.partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    return f"{field}: {what}" if field else what
