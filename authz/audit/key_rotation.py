"""Changing the node's key. Whoever knows either key knows both afterwards, and the old one is good for nothing new.

1. The key file gets the new key beside the old one: from here on no auditor starts on it.
2. `audit.key_rotated`, signed by both, goes into the node's own stream.
3. The new key comes first in `audit.pub`.
4. The key file gets the new key alone.

What a crash leaves at any point is clean to a verifier, and nothing is signed until the change was finished.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from authz.audit.atomic import Shelf
from authz.audit.auditor.known import known_heads
from authz.audit.auditor.signed import SIGNED_NAME, SignedStore
from authz.audit.extent import extents, lines_backward
from authz.audit.key_file import read_key_file, replace_key_file
from authz.audit.location import audit_directory
from authz.audit.lock import LOCK_NAME, StreamLock
from authz.audit.node_key import PUBLIC_NAME, key_path
from authz.audit.offline import check_owner, record_offline
from authz.audit.rollup_record import AUDITOR
from authz.audit.rotation_record import KEY_ROTATED, key_rotated
from authz.audit.rotations import rotation_in
from authz.audit.segment import first_seq, ledger_event
from authz.audit.status import AUDITOR_NAME
from authz.audit.successors import newest_successor
from authz.core import AuditUnavailableError, ConfigurationError
from authz.tlog import Checkpoint, Signer, VerifierKey


class KeyChange(NamedTuple):
    """What `rotate_key` did. `resumed`: it finished what an earlier one had begun."""

    old: VerifierKey
    new: VerifierKey
    resumed: bool


def rotate_key(state: Path, stated: str | None = None, shelf: Shelf | None = None) -> KeyChange:
    """Have a new key of the same name take the place of the node's. Not from within an event loop.

    `stated`: the key file, where it is not in the state directory. Given again after a crash it goes on where that one
    stopped. Raises AuditUnavailableError while an auditor runs or when the change cannot be recorded,
    SigningUnsafeError when it cannot be known what was signed last, LedgerUnreadableError, ConfigurationError, OSError.
    """
    shelf = shelf or Shelf()
    audit, path = audit_directory(state), key_path(state, stated)
    check_owner(audit)
    with _no_auditor(state, shelf):
        old, *begun = _signers(path)
        new = begun[0] if begun else Signer.generate(old.name)
        heads = _last_signed(state, audit, old.name)
        if not begun:
            replace_key_file(path, (old, new), shelf)
        _record(audit, old, new, heads)
        _publish(state, (new.verifier, old.verifier), shelf)
        replace_key_file(path, (new,), shelf)
    return KeyChange(old.verifier, new.verifier, bool(begun))


def _record(audit: Path, old: Signer, new: Signer, heads: Mapping[str, Checkpoint]) -> None:
    own = newest_successor(audit, AUDITOR)
    signed = heads[own].size if own in heads else 0
    event = ledger_event(KEY_ROTATED, key_rotated(old, new, heads))
    change = old.verifier, new.verifier
    try:
        record_offline(audit, [event], own, unless=lambda: _is_recorded(audit / own, signed, change))
    except AuditUnavailableError as error:
        raise AuditUnavailableError(
            f"The change of keys is begun and not recorded: {error} "
            "Nothing is signed until `authz keys rotate` was run again and has finished it."
        ) from None


def _publish(state: Path, first: tuple[VerifierKey, ...], shelf: Shelf) -> None:
    """Have `audit.pub` begin with these keys; the others in it follow."""
    path = state / "keys" / PUBLIC_NAME
    known = path.read_text(encoding="utf-8").split() if path.exists() else []
    lines = dict.fromkeys([*map(str, first), *known])
    shelf.make_directory(path.parent, durable=True)
    shelf.replace(path, "".join(f"{line}\n" for line in lines).encode())


@contextmanager
def _no_auditor(state: Path, shelf: Shelf) -> Iterator[None]:
    directory = state / AUDITOR_NAME
    shelf.make_directory(directory, durable=True)
    try:
        lock = StreamLock.take(directory)
    except AuditUnavailableError:
        pid = (directory / LOCK_NAME).read_text(encoding="ascii", errors="replace").strip() or "unknown"
        raise AuditUnavailableError(
            f"The auditor is running (pid {pid}) and signs with the key. "
            "Stop it first; where `authz serve` runs it, stop that."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _signers(path: Path) -> tuple[Signer, ...]:
    try:
        return read_key_file(path)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no key at {path}: `authz keys new` makes one") from None


def _last_signed(state: Path, audit: Path, node: str) -> dict[str, Checkpoint]:
    """The last tree of each stream that was signed, as the auditor would find it at its start."""
    store = SignedStore(state / AUDITOR_NAME / SIGNED_NAME)
    try:
        heads = known_heads(audit, store, newest_successor(audit, AUDITOR))
    finally:
        store.close()
    return {stream: Checkpoint(f"{node}/{stream}", head.size, head.root) for stream, head in heads.items()}


def _is_recorded(directory: Path, signed: int, change: tuple[VerifierKey, VerifierKey]) -> bool:
    """Whether the stream says so already. Under the last checkpoint it cannot be: nobody has signed since it began."""
    for extent in reversed(extents(directory)):
        for line in lines_backward(extent.path, extent.counted_bytes):
            rotation = rotation_in(line)
            if rotation is not None and (rotation.old, rotation.new) == change:
                return True
        if first_seq(extent.path.name) <= signed:
            return False
    return False
