"""Making the first key of a node."""

from pathlib import Path

from authz.audit.node_key import PUBLIC_NAME, key_path, make_node_key, open_node_key
from authz.core import AuthzError
from authz.tlog import VerifierKey


class KeyExistsError(AuthzError):
    """There is a key, or there was one: it is not for this to put another one in its place."""

    code = "audit_key_exists"


def new_node_key(state: Path, origin: str) -> VerifierKey:
    """Make the node's key and publish its public half. Raises KeyExistsError, ConfigurationError, OSError."""
    path, public = key_path(state), state / "keys" / PUBLIC_NAME
    if path.exists():
        open_node_key(state)  # a crash may have come before its public half was written
        raise KeyExistsError(f"{path} is there already. `authz keys rotate` has another key take its place.")
    if public.exists():
        raise KeyExistsError(
            f"{public} names keys that signed this ledger, and {path} is gone. Put it back. If it is lost, move the "
            "public keys to where they are kept: what was signed is checked with them, and they know no new key."
        )
    try:
        make_node_key(state, origin)
    except FileExistsError:
        raise KeyExistsError(f"{path} was made by another process just now.") from None
    return open_node_key(state).verifier
