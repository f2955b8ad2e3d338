"""Checkpoints that are kept where the ledger is not: handed over by whoever asks, or remembered from the last time."""

from pathlib import Path
from typing import NamedTuple

from authz.audit.claims import Claim, ClaimSource
from authz.audit.trust import Trust, read_unverified
from authz.core import BadRequestError
from authz.tlog import TlogError


class Kept(NamedTuple):
    """One checkpoint. `node` and `stream` are the two parts of its origin. `doubt`: why its signature is not known."""

    node: str
    stream: str
    claim: Claim
    doubt: str | None


def read_kept(note: bytes, source: ClaimSource, where: str, trust: Trust) -> Kept:
    """From a note. One that no known key signed still says something to whoever kept it. Raises TlogError."""
    checkpoint = read_unverified(note)
    node, _, stream = checkpoint.origin.rpartition("/")
    key, doubt = None, None
    try:
        key = str(trust.open(note, stream).node)
    except TlogError as error:
        doubt = str(error)
    return Kept(node, stream, Claim(checkpoint.size, checkpoint.root, source, where, key), doubt)


def read_since(path: Path, trust: Trust) -> Kept:
    """A checkpoint that was handed over as a file. Raises BadRequestError."""
    try:
        return read_kept(path.read_bytes(), "since", str(path), trust)
    except (OSError, TlogError) as error:
        raise BadRequestError(f"--since {path}: {error}") from None
