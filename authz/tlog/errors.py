"""What can be wrong with notes, checkpoints, tiles and proofs. No input makes this room raise anything else."""

from authz.core import AuthzError


class TlogError(AuthzError):
    """Something of a transparency log cannot be used. The message names what is wrong with it."""

    code = "tlog_refused"


class MalformedError(TlogError):
    """Not in the one form that the format allows."""

    code = "tlog_malformed"


class NoteError(TlogError):
    """A well-formed note that is not to be believed: no known key signed it, or one of them signed something else."""

    code = "note_refused"


class CheckpointError(TlogError):
    """A signed checkpoint, but of another log than the one that was meant."""

    code = "checkpoint_refused"


class ProofError(TlogError):
    """The proof does not show what it was given for, or there is no such proof."""

    code = "proof_refused"


class TileMissingError(TlogError):
    """There is no such tile. The reader then looks for the full one in place of a partial one."""

    code = "tile_missing"
