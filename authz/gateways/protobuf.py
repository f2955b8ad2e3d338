"""As much of the protobuf wire format as one small message each way needs (protobuf.dev, "Encoding")."""

from authz.core import BadRequestError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class Message:
    """A decoded message: its length-delimited fields by number. Numbers are skipped, nobody here asks for one.

    Raises BadRequestError when the bytes are no message.
    """

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[bytes]] = {}
        at = 0
        while at < len(data):
            tag, at = _varint(data, at)
            at = self._field(data, at, tag >> 3, tag & 7)

    def messages(self, number: int) -> list["Message"]:
        """Every value of a repeated message field."""
        return [Message(value) for value in self._fields.get(number, [])]

    def message(self, number: int) -> "Message":
        """The value of a message field; an absent one is an empty message."""
        return Message(self._once(number))

    def text(self, number: int) -> str:
        """The value of a string field; an absent one is empty."""
        try:
            return self._once(number).decode()
        except UnicodeDecodeError:
            raise BadRequestError("a string of the message is not UTF-8") from None

    def _once(self, number: int) -> bytes:
        values = self._fields.get(number, [b""])
        if len(values) > 1:
            raise BadRequestError("a field of the message is there twice")
        return values[0]

    def _field(self, data: bytes, at: int, number: int, kind: int) -> int:
        if kind == _VARINT:
            return _varint(data, at)[1]
        if kind == _BYTES:
            length, at = _varint(data, at)
            end = at + length
            self._fields.setdefault(number, []).append(data[at:end])
        elif kind in (_FIXED32, _FIXED64):
            end = at + (4 if kind == _FIXED32 else 8)
        else:
            raise BadRequestError("the message has a field of an unknown kind")
        if end > len(data):
            raise BadRequestError("the message is cut short")
        return end


def number_field(number: int, value: int) -> bytes:
    """A number, written even if it is zero."""
    return _as_varint(number << 3 | _VARINT) + _as_varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A string or a message, written even if it is empty."""
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise BadRequestError("the message is cut short")


def _as_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
