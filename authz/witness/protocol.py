"""The one exchange between a log and its witness, as bytes: `add-checkpoint` of c2sp.org/tlog-witness. Pure."""

from typing import Final, NamedTuple

from authz.tlog import MalformedError, read_hash, read_number, write_base64

PATH: Final = "/add-checkpoint"
"""Where a witness takes checkpoints, behind its submission prefix."""

SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of a 409, which tells the size that the witness cosigned last."""

MAX_BODY_BYTES: Final = 64 * 1024
"""Room for 63 hashes and a checkpoint with sixteen signatures, those of post-quantum size among them."""

MAX_PROOF_HASHES: Final = 63
"""No tree that can be counted in 63 bits takes more."""


class AddCheckpoint(NamedTuple):
    """What a log asks: cosign `note`, which only adds to the tree of `old_size` leaves, as `proof` shows."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def write(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old_size}", *(write_base64(one) for one in self.proof), "", ""]
        return "\n".join(lines).encode() + self.note


def read_add_checkpoint(body: bytes) -> AddCheckpoint:
    """The body of a request, in its one form. The note in it is not looked at. Raises MalformedError."""
    head, blank, note = body.partition(b"\n\n")
    if not blank:
        raise MalformedError("add-checkpoint: there is no empty line before the checkpoint")
    try:
        first, *rest = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise MalformedError("add-checkpoint: the lines before the checkpoint must be ASCII") from None
    if not first.startswith("old "):
        raise MalformedError("add-checkpoint: the first line must be `old` and a size")
    if len(rest) > MAX_PROOF_HASHES:
        raise MalformedError(f"add-checkpoint: {len(rest)} hashes, more than {MAX_PROOF_HASHES}")
    old_size = read_number(first.removeprefix("old "), "add-checkpoint: old")
    return AddCheckpoint(old_size, tuple(read_hash(line, "add-checkpoint: proof") for line in rest), note)


def write_size(size: int) -> bytes:
    """The body of a 409."""
    return b"%d\n" % size


def read_size(body: bytes) -> int:
    """The size that a 409 tells. Raises MalformedError."""
    text = body.decode("ascii", "replace")
    return read_number(text.removesuffix("\n"), SIZE_TYPE)
