"""The protobuf wire format, as far as it is needed: what a message holds is found, what is no message is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.core import BadRequestError
from authz.gateways.protobuf import Message, bytes_field, number_field
from tests.properties import many

NUMBERS = st.integers(1, 2**29 - 1)


@many
@given(NUMBERS, st.text(st.characters(codec="utf-8")), NUMBERS, st.integers(0, 2**64 - 1))
def test_what_is_written_is_read(number: int, text: str, other: int, value: int) -> None:
    """A string comes back by its number, whatever other fields stand around it."""
    around = number_field(other, value) + b"\x0d\0\0\0\0" + b"\x09\0\0\0\0\0\0\0\0"
    message = Message(around + bytes_field(number, text.encode()) + around)
    assert message.text(number) == text
    assert message.text(number % (2**29 - 1) + 1) == ""


@many
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    """Whatever arrives, it is read or it is a bad request."""
    try:
        message = Message(data)
        for number in range(1, 20):
            message.text(number)
    except BadRequestError:
        pass


def test_messages_nest_and_repeat() -> None:
    """A message in a message is found by its number; an absent one is empty; a repeated one gives all, in order."""
    inner = [bytes_field(1, name) for name in (b"a", b"b")]
    message = Message(b"".join(bytes_field(3, each) for each in inner))
    assert [each.text(1) for each in message.messages(3)] == ["a", "b"]
    assert (message.messages(4), message.message(4).message(1).text(1)) == ([], "")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x0a", "cut short"),
        (b"\x0a\x05abc", "cut short"),
        (b"\x08", "cut short"),
        (b"\x80", "cut short"),
        (b"\xff" * 11, "cut short"),
        (b"\x0d\0\0\0", "cut short"),
        (b"\x0b", "unknown kind"),
        (b"\x0f", "unknown kind"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, says: str) -> None:
    """Cut off fields, endless numbers and groups are refused."""
    with pytest.raises(BadRequestError, match=says):
        Message(data)


def test_a_field_that_is_there_twice_is_refused() -> None:
    """Protobuf lets the last one win: here none does."""
    message = Message(bytes_field(1, b"a") * 2)
    with pytest.raises(BadRequestError, match="twice"):
        message.text(1)
    with pytest.raises(BadRequestError, match="twice"):
        message.message(1)


def test_a_string_that_is_not_utf8_is_refused() -> None:
    """Envoy sends UTF-8."""
    with pytest.raises(BadRequestError, match="UTF-8"):
        Message(bytes_field(1, b"\xff")).text(1)
