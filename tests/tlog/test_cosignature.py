"""Cosignatures: who saw which checkpoint when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    Checkpoint,
    CosignerKey,
    MalformedError,
    NoteError,
    Signature,
    Signer,
    add_signatures,
    cosignature_time,
    open_note,
    read_signature_line,
    signature_line,
)
from tests.properties import many
from tests.tlog.notes import CHECKPOINT, COSIGNED, LOG, NOTE, TEXT, TIME, WITNESS, WITNESS_LINE
from tests.tlog.trees import ROOTS

SPEC_KEY_ID = bytes.fromhex("20324abe")


def test_the_published_cosignature() -> None:
    """Its line, and the time it states."""
    assert WITNESS.cosign(CHECKPOINT, TIME) == WITNESS_LINE
    assert add_signatures(NOTE, [WITNESS.cosign(CHECKPOINT, TIME)]) == COSIGNED
    (signature,) = open_note(COSIGNED, [WITNESS.verifier]).signatures
    assert (signature.name, signature.key_id, cosignature_time(signature)) == (WITNESS.name, SPEC_KEY_ID, TIME)


@many
@given(st.integers(0, 2**63 - 1))
def test_every_time_comes_back(time: int) -> None:
    """In seconds since the epoch."""
    note = add_signatures(NOTE, [WITNESS.cosign(CHECKPOINT, time)])
    assert [cosignature_time(one) for one in open_note(note, [WITNESS.verifier]).signatures] == [time]


@pytest.mark.parametrize("time", [-1, 2**63])
def test_a_time_that_cannot_be_stated_is_refused(time: int) -> None:
    """Before the epoch, or beyond 63 bits."""
    with pytest.raises(MalformedError, match="is no time"):
        WITNESS.cosign(CHECKPOINT, time)


def test_extension_lines_are_cosigned() -> None:
    """The text is, all of it."""
    extended = CHECKPOINT._replace(extensions=("x",))
    line = WITNESS.cosign(extended, TIME)
    assert open_note(add_signatures(LOG.sign(extended.text()), [line]), [WITNESS.verifier]).text == TEXT + "x\n"
    with pytest.raises(NoteError, match="does not hold"):
        open_note(add_signatures(NOTE, [line]), [WITNESS.verifier])


def test_a_cosignature_is_of_one_time_and_checkpoint() -> None:
    """Another time, text or witness, and it does not hold."""
    line = read_signature_line(WITNESS_LINE)
    key = WITNESS.verifier
    later = (TIME + 1).to_bytes(8, "big") + line.signature[8:]
    assert key.verify(TEXT.encode(), line.signature)
    assert not key.verify(TEXT.encode(), later)
    assert not key.verify(Checkpoint(LOG.name, 7, ROOTS[7]).text().encode(), line.signature)
    assert not CosignerKey(key.name, LOG.public_key).verify(TEXT.encode(), line.signature)
    for spoilt in (b"", line.signature[:8], line.signature[:-1], line.signature + b"\0", b"\x80" + line.signature[1:]):
        assert not key.verify(TEXT.encode(), spoilt)


def test_a_time_beyond_63_bits_is_not_accepted() -> None:
    """Though the witness signed it."""
    time = 2**63
    signed = WITNESS._key.sign(b"cosignature/v1\ntime %d\n%b" % (time, TEXT.encode()))
    line = signature_line(WITNESS.name, WITNESS.key_id, time.to_bytes(8, "big") + signed)
    with pytest.raises(NoteError, match="does not hold"):
        open_note(add_signatures(NOTE, [line]), [WITNESS.verifier])


def test_a_signature_is_no_cosignature() -> None:
    """The same seed under the same name signs both, and each only holds as what it is."""
    log = Signer(WITNESS.name, bytes(range(32, 64)))
    assert log.public_key == WITNESS.public_key
    assert log.key_id != WITNESS.key_id
    plain = read_signature_line(log.signature_line(TEXT)).signature
    with pytest.raises(NoteError, match="does not hold"):
        open_note(
            add_signatures(NOTE, [signature_line(WITNESS.name, WITNESS.key_id, bytes(8) + plain)]), [WITNESS.verifier]
        )
    with pytest.raises(NoteError, match="not signed by"):
        open_note(COSIGNED, [log.verifier])


def test_what_is_no_cosignature_states_no_time() -> None:
    """A signature of another length."""
    with pytest.raises(MalformedError, match="cosignature of x: 64 bytes, not 72"):
        cosignature_time(Signature("x", b"abcd", bytes(64)))
