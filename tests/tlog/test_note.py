"""Signed notes: what is signed, by whom, and what is refused as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    MalformedError,
    NoteError,
    Signature,
    Signer,
    VerifierKey,
    add_signatures,
    open_note,
    read_signature_line,
    signature_line,
    split_note,
)
from tests.properties import many
from tests.tlog.notes import COSIGNED, LOG, LOG_LINE, NOTE, TEXT, WITNESS, WITNESS_LINE

STRANGER = Signer("stranger.example", bytes(32))
OTHER_ID = LOG_LINE.replace("Za0cK", "Za0cL")
"""The log's line under another key ID."""

POST_QUANTUM = signature_line("audit.example/ledger1", b"\x06\x00\x00\x01", bytes(2428))
"""A line as long as those of ML-DSA-44, of a key that nobody here knows."""

TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]) | st.just("\n"))


def bare(*lines: str) -> bytes:
    """TEXT under any lines."""
    return "".join([TEXT, "\n", *(f"{line}\n" for line in lines)]).encode()


def test_the_published_note() -> None:
    """Ed25519 is deterministic: the same key and text make the same bytes everywhere."""
    assert LOG.sign(TEXT) == NOTE
    assert LOG.signature_line(TEXT) == LOG_LINE
    note = open_note(NOTE, [LOG.verifier])
    assert (note.text, [one.line for one in note.signatures], note.unverified) == (TEXT, [LOG_LINE], ())


@many
@given(TEXTS)
def test_every_text_comes_back(text: str) -> None:
    """Empty lines in it or not, and lines that look like signatures."""
    for whole in (text + "\n", text + "\n\n" + LOG_LINE + "\n"):
        assert open_note(LOG.sign(whole), [LOG.verifier]).text == whole


def test_signatures_of_unknown_keys_are_set_apart() -> None:
    """There is room for more lines: other keys, other algorithms, the same name under another ID or the reverse."""
    same_id = LOG_LINE.replace("ledger1", "ledger2")
    note = open_note(bare(POST_QUANTUM, LOG_LINE, OTHER_ID, same_id, WITNESS_LINE), [LOG.verifier])
    assert [one.line for one in note.signatures] == [LOG_LINE]
    assert [one.line for one in note.unverified] == [POST_QUANTUM, OTHER_ID, same_id, WITNESS_LINE]


def test_signatures_are_added_after_those_there_are() -> None:
    """A cosigned checkpoint is the checkpoint with lines behind it; a line that is there is not repeated."""
    assert add_signatures(NOTE, [WITNESS_LINE]) == COSIGNED
    assert add_signatures(COSIGNED, [WITNESS_LINE, LOG_LINE]) == COSIGNED
    both = add_signatures(NOTE, [STRANGER.signature_line(TEXT), POST_QUANTUM])
    note = open_note(both, [STRANGER.verifier, LOG.verifier])
    assert [one.name for one in note.signatures] == ["audit.example/ledger1", "stranger.example"]
    assert [one.line for one in note.unverified] == [POST_QUANTUM]


def test_one_known_key_is_enough_and_all_are_told() -> None:
    """The caller says which keys count, and learns which of them signed."""
    assert open_note(COSIGNED, [WITNESS.verifier]).signatures == (read_signature_line(WITNESS_LINE),)
    assert len(open_note(COSIGNED, [LOG.verifier, STRANGER.verifier, WITNESS.verifier]).signatures) == 2


def test_a_bad_signature_of_a_known_key_spoils_the_note() -> None:
    """Even beside a good one, of the same key or of another."""
    forged = signature_line(LOG.name, LOG.key_id, bytes(64))
    short = signature_line(LOG.name, LOG.key_id, b"x")
    for lines in ([forged], [LOG_LINE, forged], [forged, LOG_LINE], [WITNESS_LINE, short]):
        with pytest.raises(NoteError, match=r"the signature of audit.example/ledger1 \(key 65ad1c28\) does not hold"):
            open_note(bare(*lines), [LOG.verifier, WITNESS.verifier])


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    """However many others did."""
    with pytest.raises(NoteError, match="not signed by stranger"):
        open_note(COSIGNED, [STRANGER.verifier])
    with pytest.raises(NoteError, match="not signed by any key, since none was given"):
        open_note(COSIGNED, [])


def test_keys_that_cannot_be_told_apart_are_refused() -> None:
    """Two keys of the same name and ID: which of them has to have signed?"""

    class Twin(VerifierKey):
        key_id = LOG.key_id

    with pytest.raises(NoteError, match="have the ID 65ad1c28"):
        open_note(NOTE, [LOG.verifier, Twin(LOG.name, bytes(32))])
    assert open_note(NOTE, [LOG.verifier, LOG.verifier]).text == TEXT


def test_at_least_sixteen_signatures_are_read_and_more_than_a_hundred_are_not() -> None:
    """C2SP demands 16; there is an end at 100."""
    lines = [signature_line(f"w{number}.example", b"abcd", bytes(72)) for number in range(100)]
    assert len(open_note(bare(*lines[:15], LOG_LINE), [LOG.verifier]).unverified) == 15
    assert len(open_note(bare(*lines[:99], LOG_LINE), [LOG.verifier]).unverified) == 99
    with pytest.raises(MalformedError, match="note: 101 signatures, more than 100"):
        open_note(bare(*lines, LOG_LINE), [LOG.verifier])
    with pytest.raises(MalformedError, match="note: 101 signatures, more than 100"):
        add_signatures(NOTE, lines)


def test_a_line_that_comes_twice_counts_once() -> None:
    """Verified or not."""
    note = open_note(bare(LOG_LINE, WITNESS_LINE, LOG_LINE, WITNESS_LINE), [LOG.verifier])
    assert (len(note.signatures), len(note.unverified)) == (1, 1)


def test_only_the_last_empty_line_separates() -> None:
    """What stands before it is text, signature lines too."""
    text, signatures = split_note(f"a\n\n\n\n{LOG_LINE}\n\n{WITNESS_LINE}\n".encode())
    assert text == f"a\n\n\n\n{LOG_LINE}\n"
    assert [one.line for one in signatures] == [WITNESS_LINE]
    assert split_note(f"\n\n{LOG_LINE}\n".encode())[0] == "\n"


MALFORMED = {
    "nothing": b"",
    "no signature": TEXT.encode(),
    "no line after the blank one": TEXT.encode() + b"\n",
    "no LF at the end": NOTE[:-1],
    "a line after the signatures": NOTE + b"x\n",
    "a blank line after the signatures": NOTE + b"\n",
    "a line between signatures": bare(LOG_LINE, "garbage", WITNESS_LINE),
    "CR": NOTE.replace(b"\n", b"\r\n"),
    "a tab in the text": b"\t" + NOTE,
    "NUL": b"\0" + NOTE,
    "not UTF-8": b"\xff" + NOTE,
    "a surrogate": b"\xed\xa0\x80" + NOTE,
    "overlong": b"\xc0\x80" + NOTE,
    "a hyphen for a dash": bare(LOG_LINE.replace("—", "-")),
    "no space after the dash": bare(LOG_LINE.replace("— ", "—")),
    "two spaces": bare(LOG_LINE.replace("— ", "—  ")),
    "a space behind": bare(LOG_LINE + " "),
    "no name": bare(LOG_LINE.replace("audit.example/ledger1", "")),
    "a plus sign in a name": bare(LOG_LINE.replace("/ledger1", "+ledger1")),
    "a wide space in a name": bare(LOG_LINE.replace("/ledger1", "\u2002ledger1")),
    "no signature in a line": bare("— audit.example/ledger1"),
    "an empty signature": bare("— audit.example/ledger1 "),
    "a key ID alone": bare("— audit.example/ledger1 Za0cKA=="),
    "no padding": bare(LOG_LINE.removesuffix("=")),
    "too much padding": bare(LOG_LINE + "="),
    "stray bits": bare(LOG_LINE.replace("aQ8=", "aQ9=")),
    "URL base64": bare(LOG_LINE.replace("/WzqM", "_WzqM")),
    "a break in base64": bare(LOG_LINE.replace("Za0cK", "Za0c\u2028K")),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_note_is_refused(what: str) -> None:
    """One form, and no other that a parser might be kind to; adding to it is refused as well."""
    with pytest.raises(MalformedError, match=r"note|key name"):
        open_note(MALFORMED[what], [LOG.verifier, WITNESS.verifier])
    with pytest.raises(MalformedError):
        add_signatures(MALFORMED[what], [])


@pytest.mark.parametrize("line", ["", LOG_LINE + "\n", LOG_LINE[2:], "— a", "— a b c", LOG_LINE + "\n" + WITNESS_LINE])
def test_what_is_no_signature_line_is_not_added(line: str) -> None:
    """So that nobody's answer can break the note."""
    with pytest.raises(MalformedError, match="note"):
        add_signatures(NOTE, [line])


@pytest.mark.parametrize("text", ["", "x", "x\n\r\n", "\x00\n", "\ud800\n", "x\ny"])
def test_what_cannot_be_the_text_of_a_note_is_not_signed(text: str) -> None:
    """It would not come back."""
    with pytest.raises(MalformedError, match="note text"):
        LOG.sign(text)


def test_a_signature_is_of_one_key_and_text() -> None:
    """Under another name, ID or text it does not hold."""
    signature = read_signature_line(LOG_LINE)
    assert signature == Signature(LOG.name, LOG.key_id, signature.signature)
    assert LOG.verifier.verify(TEXT.encode(), signature.signature)
    assert not LOG.verifier.verify(TEXT.encode() + b"\n", signature.signature)
    assert not STRANGER.verifier.verify(TEXT.encode(), signature.signature)
    assert not VerifierKey("a", b"no key").verify(TEXT.encode(), signature.signature)
