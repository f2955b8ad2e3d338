"""Why a witness does not cosign: one class for each status of the protocol. What it remembers does not change then."""

from authz.core import AuthzError


class WitnessError(AuthzError):
    """The checkpoint is not cosigned."""

    code = "witness_refused"


class UnknownOriginError(WitnessError):
    """No key is known for the log that the checkpoint names."""

    code = "witness_unknown_origin"


class UnsignedError(WitnessError):
    """None of the known keys of the log signed the checkpoint."""

    code = "witness_unsigned"


class ConflictError(WitnessError):
    """The request does not start from what was cosigned last, or is another tree of the same size.

    `size`: that of the checkpoint that was cosigned last; 0 for none.
    """

    code = "witness_conflict"

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class InconsistentError(WitnessError):
    """The proof does not show that the log only grew since the checkpoint that was cosigned last."""

    code = "witness_inconsistent"


class CannotCosignError(WitnessError):
    """The witness itself is not fit to sign: its clock, its disk or its room. Asking again later may help."""

    code = "witness_unavailable"
