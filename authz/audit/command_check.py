"""Whether the records of commands are what was recorded and signed: holds and prunes rest on them.

Of several streams of commands only the one in force is checked: whoever began it has said why the others were left.
"""

from collections.abc import Sequence
from pathlib import Path

from authz.audit.extent import extents, lines_forward
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.audit.offline import CLI_STREAM, command_streams
from authz.audit.published import checkpoint_note, signed_checkpoint
from authz.audit.record import ORIGIN, PREV, chain_hash
from authz.tlog import CompactRange, VerifierKey, leaf_hash


def check_commands(audit: Path, keys: Sequence[VerifierKey]) -> None:
    """Check the chain of the stream of commands from its first record on, and its tree against the newest checkpoint.

    A hold that was cut off the end or rewritten is found as soon as a checkpoint covers it, a second after it was
    made. Raises LedgerDamagedError, LedgerUnreadableError.
    """
    try:
        directory = [audit / CLI_STREAM, *command_streams(audit)][-1]
        leaves = _leaves(directory) if directory.is_dir() else []
        note = checkpoint_note(audit, directory.name)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    if note is None:
        return
    checkpoint = signed_checkpoint(note, directory.name, keys)
    tree = CompactRange()
    tree.extend(leaves[: checkpoint.size])
    if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
        raise LedgerDamagedError(f"{directory} is not what was signed: no hold in it can be relied on")


def _leaves(directory: Path) -> list[bytes]:
    leaves, prev = [], ORIGIN
    for extent in extents(directory):
        for line in lines_forward(extent.path, extent.counted_bytes):
            if line[-1:] != b"\n":
                break
            if line[PREV] != prev:
                raise LedgerDamagedError(f"{extent.path} is not what was recorded: no hold in it can be relied on")
            prev = chain_hash(line[:-1])
            leaves.append(leaf_hash(line[:-1]))
    return leaves
