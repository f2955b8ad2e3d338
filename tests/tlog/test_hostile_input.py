"""Nothing but a TlogError comes out of the room, whatever goes in."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    CosignerKey,
    CosignerSigner,
    Signer,
    TlogError,
    TlogProof,
    Verifier,
    VerifierKey,
    add_signatures,
    open_checkpoint,
    open_note,
    read_base64,
    read_checkpoint,
    read_entry_bundle,
    read_hash,
    read_number,
    read_proof,
    read_signature_line,
    read_tile_path,
    split_note,
    verify_consistency,
    verify_inclusion,
    verify_proof,
)
from tests.properties import many
from tests.tlog.notes import COSIGNED, LOG, LOG_LINE, LOG_PRIVATE, LOG_VKEY, NOTE, TEXT, WITNESS
from tests.tlog.test_proof_file import FILE

PIECES = [TEXT, LOG_LINE, LOG_VKEY, LOG_PRIVATE, "tile/0/x001/000.p/1", "tile/entries/", "index ", "extra ", "\n\n"]
PIECES += ["\n", "— ", "+", "=", " ", "0", "9" * 20, "\u0661", "\ud800", "\x00", "\u2028", "c2sp.org/tlog-proof@v1"]
TEXTS = st.lists(st.text(max_size=8) | st.sampled_from(PIECES), max_size=8).map("".join)
BYTES = st.binary(max_size=60) | TEXTS.map(lambda text: text.encode(errors="surrogatepass"))
KEYS: list[Verifier] = [LOG.verifier, WITNESS.verifier]

TEXT_READERS: list[Callable[[str], object]] = [
    VerifierKey.read,
    CosignerKey.read,
    Signer.read,
    CosignerSigner.read,
    LOG.named,
    LOG.sign,
    read_checkpoint,
    read_signature_line,
    read_tile_path,
    lambda text: add_signatures(NOTE, [text]),
    lambda text: read_number(text, "x"),
    lambda text: read_base64(text, "x"),
    lambda text: read_hash(text, "x"),
]
BYTES_READERS: list[Callable[[bytes], object]] = [
    split_note,
    read_proof,
    read_entry_bundle,
    lambda data: open_note(data, KEYS),
    lambda data: open_checkpoint(data, LOG.verifier, LOG.name),
    lambda data: verify_proof(read_proof(data), bytes(32), LOG.verifier),
    lambda data: verify_proof(TlogProof(0, (data,), NOTE), data, LOG.verifier),
    lambda data: LOG.verifier.verify(data, data),
    lambda data: WITNESS.verifier.verify(data, data),
    lambda data: verify_inclusion(0, 1, data, [data], data),
    lambda data: verify_consistency(1, 2, [data], data, data),
]


@many
@given(TEXTS)
def test_any_text(text: str) -> None:
    """Every reader of texts."""
    for read in TEXT_READERS:
        with suppress(TlogError):
            read(text)


@many
@given(BYTES)
def test_any_bytes(data: bytes) -> None:
    """Every reader of bytes."""
    for read in BYTES_READERS:
        with suppress(TlogError):
            read(data)


@many
@given(st.sampled_from([COSIGNED, FILE]), st.data())
def test_almost_right_bytes(whole: bytes, data: st.DataObject) -> None:
    """A part of a real file replaced by another, or by anything."""
    start, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    put = data.draw(BYTES | st.just(whole[start // 2 : end // 2]))
    for read in BYTES_READERS:
        with suppress(TlogError):
            read(whole[:start] + put + whole[end:])


@many
@given(
    st.integers(-2, 2**64) | st.integers(-2, 9),
    st.integers(-2, 2**64) | st.integers(-2, 9),
    st.lists(st.binary(min_size=32, max_size=32), max_size=70),
)
def test_no_made_up_proof_is_accepted(first: int, second: int, proof: list[bytes]) -> None:
    """Whatever the sizes: it ends, and it is refused."""
    with pytest.raises(TlogError):
        verify_inclusion(first, second, bytes(32), proof, bytes(31) + b"x")
    if first != second:
        with pytest.raises(TlogError):
            verify_consistency(first, second, proof, bytes(32), bytes(31) + b"x")
