"""Checking the proof of one event, with the node's public key and nothing else."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from authz.audit.record import Header, read_header
from authz.tlog import (
    Checkpoint,
    CosignerKey,
    MalformedError,
    Note,
    NoteError,
    ProofError,
    VerifierKey,
    checkpoint_of,
    cosignature_time,
    leaf_hash,
    open_note,
    read_checkpoint,
    read_proof,
    split_note,
    verify_inclusion,
)


class CheckedProof(NamedTuple):
    """What a proof shows: this record stands at its number in the log that `key` signed.

    `witnessed`: name and time (seconds since the epoch) of each witness that was asked for and saw the checkpoint.
    """

    record: bytes
    header: Header
    checkpoint: Checkpoint
    key: VerifierKey
    witnessed: tuple[tuple[str, int], ...]

    def document(self) -> dict[str, Any]:
        """The same as JSON takes it."""
        return {
            "holds": True,
            "origin": self.checkpoint.origin,
            "seq": self.header.seq,
            "size": self.checkpoint.size,
            "signed_by": str(self.key),
            "witnessed": dict(self.witnessed),
            "record": self.record.decode(),
        }


def check_proof(
    data: bytes, record: bytes | None, keys: Sequence[VerifierKey], witnesses: Sequence[CosignerKey] = ()
) -> CheckedProof:
    """What the proof in `data` shows of `record`; without one, of the record that came in the proof's `extra`.

    One of `keys` must have signed the checkpoint, and every one of `witnesses` must have cosigned it. Raises a
    TlogError that says what does not hold.
    """
    proof = read_proof(data)
    line = proof.extra if record is None else record
    if not line:
        raise MalformedError("the proof comes without its record: it has to be given")
    if proof.extra and proof.extra != line:
        raise ProofError("the record is not the one that came with the proof")
    origin = read_checkpoint(split_note(proof.checkpoint)[0]).origin
    mine = [key.named(origin) for key in keys if signs_for(key, origin)]
    opened = open_note(proof.checkpoint, [*mine, *witnesses])
    names = [(one.name, one.key_id) for one in opened.signatures]
    signers = [key for key in mine if (key.name, key.key_id) in names]
    if not signers:
        raise NoteError(f"the checkpoint of {origin} is not signed by the key that was given")
    checkpoint = checkpoint_of(opened, origin)
    verify_inclusion(proof.index, checkpoint.size, leaf_hash(line), proof.hashes, checkpoint.root)
    witnessed = tuple(_seen(key, opened) for key in witnesses)
    return CheckedProof(line, _header(line, proof.index), checkpoint, signers[0], witnessed)


def signs_for(key: VerifierKey, origin: str) -> bool:
    """Whether the key of a node is the one for this origin: the node's own, or one of its streams'."""
    return key.name in {origin, origin.rpartition("/")[0]}


def _seen(key: CosignerKey, opened: Note) -> tuple[str, int]:
    for one in opened.signatures:
        if (one.name, one.key_id) == (key.name, key.key_id):
            return one.name, cosignature_time(one)
    raise NoteError(f"the witness {key.name} did not see the checkpoint")


def _header(line: bytes, index: int) -> Header:
    try:
        header = read_header(line)
    except ValueError as error:
        raise MalformedError(f"what was proven is no record: {error}") from None
    if header.seq != index + 1:
        raise ProofError(f"the record says it is number {header.seq}, and it is number {index + 1}")
    return header
