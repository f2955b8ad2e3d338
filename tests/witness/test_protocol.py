"""The bytes of `add-checkpoint`: one form in, and nothing but MalformedError for anything else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz.tlog import MalformedError
from authz.witness import AddCheckpoint, read_add_checkpoint, read_size, write_size
from tests.properties import many

from .logs import Log

HASH = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="

requests = st.builds(
    AddCheckpoint,
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    st.binary(max_size=300),
)


def test_the_example_of_the_specification_is_what_is_written() -> None:
    """`old`, the hashes, an empty line, the note as it is."""
    asked = AddCheckpoint(20852014, (bytes(32), b"\xff" * 32), "example.com/log\n1\n— x\n".encode())
    zeros, ones = "A" * 43 + "=", "/" * 42 + "8="
    assert asked.write().decode() == f"old 20852014\n{zeros}\n{ones}\n\nexample.com/log\n1\n— x\n"


@many
@given(requests)
def test_what_is_written_is_read(asked: AddCheckpoint) -> None:
    """Whatever the sizes, the number of hashes and the note."""
    assert read_add_checkpoint(asked.write()) == asked


@many
@given(st.binary(max_size=400))
@example(b"old 1\n\n")
def test_any_bytes_are_read_or_malformed(body: bytes) -> None:
    """And what is read is the only form of what was meant."""
    try:
        asked = read_add_checkpoint(body)
    except MalformedError:
        return
    assert asked.write() == body


@many
@given(st.data())
def test_a_damaged_request_is_another_request_or_malformed(data: st.DataObject) -> None:
    """One byte changed, removed or put in: never read as the request that it was."""
    body = Log().body(5, 12)
    at = data.draw(st.integers(0, len(body) - 1))
    new = data.draw(st.binary(max_size=2).filter(lambda each: each != body[at : at + 1]))
    damaged = body[:at] + new + body[at + 1 :]
    try:
        asked = read_add_checkpoint(damaged)
    except MalformedError:
        return
    assert asked != read_add_checkpoint(body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        "\n\nnote\n",
        "old 1",
        "old 1\n",
        f"old 1\n{HASH}\n",
        f"{HASH}\n\nnote\n",
        "old\n\nnote\n",
        "old \n\nnote\n",
        "old 01\n\nnote\n",
        "old +1\n\nnote\n",
        "old -1\n\nnote\n",
        "old 1_0\n\nnote\n",
        "old  1\n\nnote\n",
        "old 1 \n\nnote\n",
        "old 1\r\n\r\nnote\n",
        "old ٣\n\nnote\n",
        "OLD 1\n\nnote\n",
        f"old {2**63}\n\nnote\n",
        f"old 1\n{HASH[:-1]}\n\nnote\n",
        f"old 1\n {HASH}\n\nnote\n",
        f"old 1\n{HASH[:-2]}h=\n\nnote\n",
        f"old 1\n{HASH[:40]}\n\nnote\n",
        "old 1\n" + f"{HASH}\n" * 64 + "\nnote\n",
    ],
)
def test_every_other_form_is_malformed(body: str) -> None:
    """Signs, zeros, spaces, foreign digits, lax base64, wrong lengths, a hash too many."""
    with pytest.raises(MalformedError):
        read_add_checkpoint(body.encode())


@many
@given(st.integers(0, 2**63 - 1))
def test_a_size_is_read_as_it_was_written(size: int) -> None:
    """The body of a 409."""
    assert (write_size(size), read_size(write_size(size))) == (f"{size}\n".encode(), size)


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"1\n\n", b" 1\n", b"01\n", b"-1\n", b"1\xff\n", b"9223372036854775808\n"]
)
def test_a_size_has_one_form(body: bytes) -> None:
    """What another witness sends is read as strictly."""
    with pytest.raises(MalformedError):
        read_size(body)
