"""What was decided, as the ledger has it: asked again of another policy, and read for what nobody uses."""

from authz.history.folding import Fold, Tally
from authz.history.gauges import write_gauges
from authz.history.kept import read_profiles, write_profiles
from authz.history.known import routes_known
from authz.history.profile import Profile
from authz.history.reads import Reads, ReadsUnrecordedError, reads_of
from authz.history.recent import Recent, replay_recent
from authz.history.rehearsed import Rehearsal, Rehearsed
from authz.history.replaying import Flip, Replay, Replaying, Untold, read_verified, replay
from authz.history.stated import state_reads, stated_reads
from authz.history.used import (
    Holder,
    Missing,
    RoleUse,
    ScopeUse,
    SubjectUse,
    Unused,
    held_by,
    holders,
    missing_routes,
    scope_use,
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
    "Recent",
    "Rehearsal",
    "Rehearsed",
    "Replay",
    "Replaying",
    "RoleUse",
    "ScopeUse",
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
    "replay_recent",
    "routes_known",
    "scope_use",
    "state_reads",
    "stated_reads",
    "unused",
    "write_gauges",
    "write_profiles",
]
