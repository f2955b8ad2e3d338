"""What was decided, as the ledger has it: asked again of another policy, and read for what nobody uses."""

from authz.policy.history.folding import Fold, Tally
from authz.policy.history.kept import read_profiles, write_profiles
from authz.policy.history.known import routes_known
from authz.policy.history.profile import Profile
from authz.policy.history.reads import Reads, ReadsUnrecordedError, reads_of
from authz.policy.history.replaying import Flip, Replay, Replaying, Untold, read_verified, replay
from authz.policy.history.used import (
    Holder,
    Missing,
    RoleUse,
    SubjectUse,
    Unused,
    held_by,
    holders,
    missing_routes,
    unused,
)

__all__ = [
    "Flip",
    "Fold",
    "Holder",
    "Missing",
    "Profile",
    "Reads",
    "ReadsUnrecordedError",
    "Replay",
    "Replaying",
    "RoleUse",
    "SubjectUse",
    "Tally",
    "Untold",
    "Unused",
    "held_by",
    "holders",
    "missing_routes",
    "read_profiles",
    "read_verified",
    "reads_of",
    "replay",
    "routes_known",
    "unused",
    "write_profiles",
]
