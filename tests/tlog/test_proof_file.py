"""The proof of one entry as a file, checked with the public key alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    Checkpoint,
    CheckpointError,
    MalformedError,
    NoteError,
    ProofError,
    TlogError,
    TlogProof,
    inclusion_proof,
    read_proof,
    verify_proof,
)
from tests.properties import many
from tests.tlog.notes import CHECKPOINT, COSIGNED, LOG, NOTE, WITNESS
from tests.tlog.trees import VECTOR_HASHES, MemoryTree

PROOF = TlogProof(5, tuple(inclusion_proof(5, 8, MemoryTree(VECTOR_HASHES))), NOTE)
LEAF = VECTOR_HASHES[5]
HEAD = b"""\
c2sp.org/tlog-proof@v1
index 5
vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=
yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=
037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=

"""
FILE = HEAD + NOTE


def test_the_file_of_the_published_proof() -> None:
    """Format, index, hashes, an empty line, the checkpoint as it was signed."""
    assert PROOF.write() == FILE
    assert read_proof(FILE) == PROOF
    assert verify_proof(read_proof(FILE), LEAF, LOG.verifier) == CHECKPOINT


def test_a_cosigned_checkpoint_and_extra_data_go_with_it() -> None:
    """The witness's key opens it, too; the extra data is nobody's word."""
    proof = replace(PROOF, checkpoint=COSIGNED, extra=b"\x00stream w0")
    assert proof.write().split(b"\n")[1] == b"extra AHN0cmVhbSB3MA=="
    assert read_proof(proof.write()) == proof
    assert verify_proof(proof, LEAF, WITNESS.verifier, LOG.name) == CHECKPOINT


@many
@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.binary(max_size=200),
    st.binary(max_size=100),
)
def test_every_proof_comes_back(index: int, hashes: list[bytes], checkpoint: bytes, extra: bytes) -> None:
    """Whatever stands where the checkpoint belongs."""
    proof = TlogProof(index, tuple(hashes), checkpoint, extra)
    assert read_proof(proof.write()) == proof


def test_a_tree_of_one_leaf_needs_no_hashes() -> None:
    """Its leaf hash is its root."""
    note = LOG.sign(Checkpoint(LOG.name, 1, LEAF).text())
    proof = read_proof(b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + note)
    assert verify_proof(proof, LEAF, LOG.verifier).size == 1


def test_any_change_is_found() -> None:
    """Of any bit of the file: refused as malformed, as not signed, or as not proving it."""
    for at in range(len(FILE)):
        for bit in range(8):
            spoilt = FILE[:at] + bytes([FILE[at] ^ 1 << bit]) + FILE[at + 1 :]
            with pytest.raises(TlogError):
                verify_proof(read_proof(spoilt), LEAF, LOG.verifier)


def test_a_proof_of_something_else_is_refused() -> None:
    """Another entry, place, tree, log or key."""
    with pytest.raises(ProofError, match="does not lead to the root"):
        verify_proof(PROOF, VECTOR_HASHES[4], LOG.verifier)
    with pytest.raises(ProofError, match="does not lead to the root"):
        verify_proof(replace(PROOF, index=4), LEAF, LOG.verifier)
    with pytest.raises(ProofError, match="a tree of 8 leaves has no leaf 8"):
        verify_proof(replace(PROOF, index=8), LEAF, LOG.verifier)
    with pytest.raises(ProofError, match="too short"):
        verify_proof(replace(PROOF, hashes=PROOF.hashes[:2]), LEAF, LOG.verifier)
    with pytest.raises(CheckpointError):
        verify_proof(PROOF, LEAF, LOG.verifier, "audit.example/ledger2")
    with pytest.raises(NoteError):
        verify_proof(PROOF, LEAF, LOG.named("audit.example/ledger2").verifier)


HASH = b"vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=\n"
MALFORMED = {
    "nothing": b"",
    "no checkpoint": b"c2sp.org/tlog-proof@v1\nindex 5\n",
    "another version": FILE.replace(b"@v1", b"@v2"),
    "a space behind the version": FILE.replace(b"@v1", b"@v1 "),
    "CR": FILE.replace(b"\n", b"\r\n"),
    "no index": FILE.replace(b"index 5\n", b""),
    "an index twice": FILE.replace(b"index 5\n", b"index 5\nindex 5\n"),
    "leading zeros": FILE.replace(b"index 5", b"index 05"),
    "an underscore": FILE.replace(b"index 5", b"index 1_0"),
    "a sign": FILE.replace(b"index 5", b"index +5"),
    "two spaces": FILE.replace(b"index 5", b"index  5"),
    "an empty index": FILE.replace(b"index 5", b"index "),
    "an index of 64 bits": FILE.replace(b"index 5", b"index 9223372036854775808"),
    "an empty extra": FILE.replace(b"index 5", b"extra \nindex 5"),
    "extra without base64": FILE.replace(b"index 5", b"extra YQ\nindex 5"),
    "extra twice": FILE.replace(b"index 5", b"extra YQ==\nextra YQ==\nindex 5"),
    "extra after the index": FILE.replace(b"index 5", b"index 5\nextra YQ=="),
    "64 hashes": FILE.replace(HASH, HASH * 62),
    "a hash of 31 bytes": FILE.replace(HASH, b"vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZng==\n"),
    "no padding": FILE.replace(HASH, HASH.replace(b"=", b"")),
    "stray bits": FILE.replace(b"nms=", b"nmt="),
    "not UTF-8": FILE.replace(b"index 5", b"index \xff"),
    "NUL": FILE.replace(b"index 5", b"index 5\x00"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_proof_is_refused(what: str) -> None:
    """One form only."""
    with pytest.raises(MalformedError, match="tlog-proof"):
        read_proof(MALFORMED[what])


@pytest.mark.parametrize(
    "proof",
    [
        replace(PROOF, index=-1),
        replace(PROOF, index=2**63),
        replace(PROOF, hashes=(b"",)),
        replace(PROOF, hashes=(LEAF,) * 64),
    ],
)
def test_what_cannot_be_a_proof_is_not_written(proof: TlogProof) -> None:
    """What would not be read back."""
    with pytest.raises(MalformedError, match="tlog-proof"):
        proof.write()
