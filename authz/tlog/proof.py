"""The proof of one entry as a file (https://c2sp.org/tlog-proof): checked with the log's public key and nothing else.

c2sp.org/tlog-proof@v1
extra <base64>                      (only if there is any; nobody signed it)
index <index of the entry, from 0>
<base64 of a hash>                  (the inclusion proof, the leaf's sibling first)
<empty line>
<the signed checkpoint>
"""

from dataclasses import dataclass
from typing import Final

from authz.tlog.check import verify_inclusion
from authz.tlog.checkpoint import Checkpoint, open_checkpoint
from authz.tlog.errors import MalformedError
from authz.tlog.keys import Verifier
from authz.tlog.strict import read_base64, read_hash, read_number, read_text, write_base64

FORMAT: Final = "c2sp.org/tlog-proof@v1"
"""The first line."""

SUFFIX: Final = ".tlog-proof"
"""How the name of such a file ends."""

_MOST_HASHES: Final = 63
_EXTRA: Final = "extra "
_INDEX: Final = "index "


@dataclass(frozen=True, slots=True)
class TlogProof:
    """That the entry at `index` is in the tree of `checkpoint`, a signed note. `extra` is anybody's word."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def write(self) -> bytes:
        """The file. Raises MalformedError when a value has no place in it."""
        extra = [_EXTRA + write_base64(self.extra)] if self.extra else []
        lines = [FORMAT, *extra, f"{_INDEX}{self.index}", *map(write_base64, self.hashes), ""]
        whole = "".join(f"{line}\n" for line in lines).encode() + self.checkpoint
        if read_proof(whole) != self:
            raise MalformedError("tlog-proof: its parts cannot be told apart again")
        return whole


def read_proof(data: bytes) -> TlogProof:
    """From the file; nothing is verified yet, the checkpoint not even read. Raises MalformedError."""
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank:
        raise MalformedError("tlog-proof: no empty line before a checkpoint")
    first, *lines = read_text(head, "tlog-proof").split("\n")
    if first != FORMAT:
        raise MalformedError(f"tlog-proof: it begins with {first[:64]!r}, not with {FORMAT!r}")
    extra = b""
    if lines and lines[0].startswith(_EXTRA):
        extra = read_base64(lines.pop(0).removeprefix(_EXTRA), "tlog-proof extra")
        if not extra:
            raise MalformedError("tlog-proof extra: empty, and then the line is left out")
    if not lines or not lines[0].startswith(_INDEX):
        raise MalformedError("tlog-proof: no index where it belongs")
    index = read_number(lines.pop(0).removeprefix(_INDEX), "tlog-proof index")
    if len(lines) > _MOST_HASHES:
        raise MalformedError(f"tlog-proof: {len(lines)} hashes, more than {_MOST_HASHES}")
    return TlogProof(index, tuple(read_hash(line, "tlog-proof hash") for line in lines), checkpoint, extra)


def verify_proof(proof: TlogProof, leaf: bytes, key: Verifier, origin: str | None = None) -> Checkpoint:
    """The checkpoint that the entry with this leaf hash is under, at the proof's index.

    `origin`: which log it has to be of; the key's name if not given. Raises what `open_checkpoint` raises, and
    ProofError when the entry is not at that place in that tree.
    """
    checkpoint = open_checkpoint(proof.checkpoint, key, key.name if origin is None else origin)
    verify_inclusion(proof.index, checkpoint.size, leaf, proof.hashes, checkpoint.root)
    return checkpoint
