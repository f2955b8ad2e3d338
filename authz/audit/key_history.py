"""The node's public keys, and when each took the place of the one before it."""

from pathlib import Path

from msgspec import Struct

from authz.audit.location import LedgerUnreadableError
from authz.audit.published import public_keys
from authz.audit.rotations import recorded_rotations


class NodeKey(Struct, frozen=True, kw_only=True):
    """One public key. `since`, `replaced`: when that was recorded, as records write time; None where it was not.

    `in_force`: it is the first in `audit.pub`, and no later key took its place.
    """

    name: str
    key_id: str
    vkey: str
    in_force: bool
    since: str | None
    replaced: str | None


def node_keys(state: Path) -> tuple[NodeKey, ...]:
    """The keys in `audit.pub`, newest first. Reads the node's own stream. Raises LedgerUnreadableError."""
    audit = state / "audit"
    keys = public_keys(audit)
    if not keys:
        raise LedgerUnreadableError(f"{state}: there is no public key in it")
    rotations = recorded_rotations(audit) if audit.is_dir() else []
    since = {one.rotation.new: one.ts for one in rotations}
    replaced = {one.rotation.old: one.ts for one in rotations}
    return tuple(
        NodeKey(
            name=key.name,
            key_id=key.key_id.hex(),
            vkey=str(key),
            in_force=key == keys[0] and key not in replaced,
            since=since.get(key),
            replaced=replaced.get(key),
        )
        for key in keys
    )
