"""A witness for transparency logs (c2sp.org/tlog-witness): what it is asked, what it remembers, when it cosigns."""

from authz.witness.errors import (
    CannotCosignError,
    ConflictError,
    InconsistentError,
    UnknownOriginError,
    UnsignedError,
    WitnessError,
)
from authz.witness.keys import open_state, read_log_keys
from authz.witness.protocol import (
    MAX_BODY_BYTES,
    PATH,
    SIZE_TYPE,
    AddCheckpoint,
    read_add_checkpoint,
    read_size,
    write_size,
)
from authz.witness.store import Cosigned, Refusal, Store
from authz.witness.witness import Witness

__all__ = [
    "MAX_BODY_BYTES",
    "PATH",
    "SIZE_TYPE",
    "AddCheckpoint",
    "CannotCosignError",
    "ConflictError",
    "Cosigned",
    "InconsistentError",
    "Refusal",
    "Store",
    "UnknownOriginError",
    "UnsignedError",
    "Witness",
    "WitnessError",
    "open_state",
    "read_add_checkpoint",
    "read_log_keys",
    "read_size",
    "write_size",
]
