"""Checkpoints: one form, one log, one key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    EMPTY_ROOT,
    MAX_SIZE,
    Checkpoint,
    CheckpointError,
    MalformedError,
    NoteError,
    Signer,
    add_signatures,
    checkpoint_of,
    open_checkpoint,
    open_note,
    read_checkpoint,
)
from tests.properties import many
from tests.tlog.notes import CHECKPOINT, COSIGNED, LOG, NOTE, TEXT, WITNESS_LINE
from tests.tlog.trees import ROOTS

ROOT = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def test_the_published_checkpoint() -> None:
    """Its text, and what its note is opened to, cosigned or not."""
    assert CHECKPOINT.text() == TEXT
    assert read_checkpoint(TEXT) == CHECKPOINT
    assert open_checkpoint(NOTE, LOG.verifier, LOG.name) == CHECKPOINT
    assert open_checkpoint(COSIGNED, LOG.verifier, LOG.name) == CHECKPOINT


def test_the_published_checkpoint_of_an_empty_log() -> None:
    """A log without entries has a checkpoint, too."""
    empty = Checkpoint(LOG.name, 0, EMPTY_ROOT)
    assert LOG.sign(empty.text()).decode() == (
        "audit.example/ledger1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— audit.example/ledger1 "
        "Za0cKFDMNT3cCpVyFN+TGQhQbtrqjhJx9o6mMfTYcDGLcUWV4nUVdvEXx+dSsQBqXu3YiSUFckNCUgMdrUdp8RL2ZgA=\n"
    )


@many
@given(LINE, st.integers(1, MAX_SIZE), st.binary(min_size=32, max_size=32), st.lists(LINE, max_size=3))
def test_every_checkpoint_comes_back(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    """With its extension lines, if a log of others has some."""
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert read_checkpoint(checkpoint.text()) == checkpoint


def test_the_checkpoint_of_another_log_is_refused() -> None:
    """Though the right key signed it: one key signs for many streams."""
    with pytest.raises(
        CheckpointError, match=r"a checkpoint of 'audit.example/ledger1', not of 'audit.example/ledger2'"
    ):
        open_checkpoint(NOTE, LOG.verifier, "audit.example/ledger2")
    stream = LOG.named("audit.example/ledger1/w0")
    note = stream.sign(Checkpoint("audit.example/ledger1/w1", 8, ROOTS[8]).text())
    with pytest.raises(CheckpointError):
        open_checkpoint(note, stream.verifier, stream.name)


def test_the_checkpoint_of_another_key_is_refused() -> None:
    """Of another seed under the same name, or the same under another name; a witness's signature is not the log's."""
    for key in (Signer(LOG.name, bytes(32)), LOG.named("audit.example")):
        with pytest.raises(NoteError, match="not signed by"):
            open_checkpoint(NOTE, key.verifier, LOG.name)
    with pytest.raises(NoteError, match="not signed by"):
        open_checkpoint(f"{TEXT}\n{WITNESS_LINE}\n".encode(), LOG.verifier, LOG.name)


def test_one_of_several_keys_is_enough() -> None:
    """After a change of keys, an older checkpoint is opened with the older key."""
    newer = Signer(LOG.name, bytes(32)).verifier
    assert checkpoint_of(open_note(NOTE, [newer, LOG.verifier]), LOG.name) == CHECKPOINT


def test_a_change_of_any_byte_is_found() -> None:
    """In the text or in the signature line: there is no second way to write a checkpoint."""
    for at in range(len(NOTE)):
        for bit in range(8):
            spoilt = NOTE[:at] + bytes([NOTE[at] ^ 1 << bit]) + NOTE[at + 1 :]
            with pytest.raises((MalformedError, NoteError)):
                open_checkpoint(spoilt, LOG.verifier, LOG.name)


MALFORMED = {
    "nothing": "",
    "no root": "a\n8\n",
    "no LF": f"a\n8\n{ROOT}",
    "an empty origin": f"\n8\n{ROOT}\n",
    "an empty extension": f"a\n8\n{ROOT}\n\n",
    "an empty line between extensions": f"a\n8\n{ROOT}\nx\n\ny\n",
    "CR": f"a\r\n8\r\n{ROOT}\r\n",
    "an underscore": f"a\n1_0\n{ROOT}\n",
    "a sign": f"a\n+8\n{ROOT}\n",
    "a negative size": f"a\n-8\n{ROOT}\n",
    "leading zeros": f"a\n08\n{ROOT}\n",
    "two zeros": f"a\n00\n{ROOT}\n",
    "a space before": f"a\n 8\n{ROOT}\n",
    "a space behind": f"a\n8 \n{ROOT}\n",
    "Arabic digits": f"a\n٨\n{ROOT}\n",
    "wide digits": f"a\n\uff18\n{ROOT}\n",
    "hexadecimal": f"a\n0x8\n{ROOT}\n",
    "a fraction": f"a\n8.0\n{ROOT}\n",
    "an empty size": f"a\n\n{ROOT}\n",
    "2**63": f"a\n9223372036854775808\n{ROOT}\n",
    "20 digits": f"a\n10000000000000000000\n{ROOT}\n",
    "very many digits": f"a\n{'9' * 5000}\n{ROOT}\n",
    "no padding": f"a\n8\n{ROOT[:-1]}\n",
    "stray bits": f"a\n8\n{ROOT[:-2]}h=\n",
    "a space in base64": f"a\n8\n {ROOT}\n",
    "URL base64": f"a\n8\n{ROOT.replace('+', '-').replace('/', '_')}\n",
    "31 bytes": "a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQw==\n",
    "33 bytes": "a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQygA\n",
    "an empty root": "a\n8\n\n",
    "no leaves, another root": f"a\n0\n{ROOT}\n",
    "a surrogate": f"\udc80\n8\n{ROOT}\n",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_checkpoint_is_refused(what: str) -> None:
    """Each of these passes some parser in use somewhere."""
    with pytest.raises(MalformedError, match="checkpoint"):
        read_checkpoint(MALFORMED[what])


def test_a_signed_text_that_is_no_checkpoint_is_refused() -> None:
    """The signature is not everything."""
    with pytest.raises(MalformedError, match="checkpoint"):
        open_checkpoint(LOG.sign("a\n08\n" + ROOT + "\n"), LOG.verifier, "a")


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("", 8, ROOTS[8]),
        Checkpoint("a\nb", 8, ROOTS[8]),
        Checkpoint("a", -1, ROOTS[8]),
        Checkpoint("a", MAX_SIZE + 1, ROOTS[8]),
        Checkpoint("a", 8, ROOTS[8][1:]),
        Checkpoint("a", 0, ROOTS[8]),
        Checkpoint("a", 8, ROOTS[8], ("",)),
        Checkpoint("a", 8, ROOTS[8], ("x\ny",)),
        Checkpoint("\ud800", 8, ROOTS[8]),
    ],
)
def test_what_cannot_be_a_checkpoint_is_not_written(checkpoint: Checkpoint) -> None:
    """What would not be read back is not signed."""
    with pytest.raises(MalformedError, match="checkpoint"):
        checkpoint.text()


def test_a_second_signature_of_the_log_has_room() -> None:
    """Two keys of the same log, as during a change of keys: each opens it."""
    newer = Signer(LOG.name, bytes(32))
    both = add_signatures(NOTE, [newer.signature_line(TEXT)])
    assert (
        open_checkpoint(both, newer.verifier, LOG.name) == open_checkpoint(both, LOG.verifier, LOG.name) == CHECKPOINT
    )
