"""How far each stream is known to be signed: by the auditor's memory and, should that be lost, by what it published."""

from pathlib import Path

from authz.audit.auditor.signed import Head, SignedStore
from authz.audit.extent import extents, lines_backward
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.audit.published import TILES, checkpoint_note, public_keys, signed_checkpoint
from authz.audit.rollup_record import ROLLUP, read_rollup
from authz.tlog import VerifierKey

_NEEDLE = b'"type":"%b"' % ROLLUP.encode()


def known_heads(audit: Path, store: SignedStore, own: str) -> dict[str, Head]:
    """The last signed head of every stream: the largest that memory, published checkpoints and the last roll-up tell.

    What is larger than the memory's goes into the memory first. Raises SigningUnsafeError, OSError.
    """
    heads = store.heads()
    told = _published(audit)
    for stream, head in _rolled_up(audit, own).items():
        told[stream] = max(head, told.get(stream, head))
    steps = {
        stream: (heads.get(stream), head)
        for stream, head in told.items()
        if head.size > (heads[stream].size if stream in heads else 0)
    }
    store.advance(steps)
    return heads | {stream: head for stream, (_, head) in steps.items()}


def _published(audit: Path) -> dict[str, Head]:
    try:
        keys = public_keys(audit)
        names = sorted(each.name for each in (audit / TILES).iterdir())
    except (LedgerUnreadableError, FileNotFoundError):
        return {}
    found = ((name, _checkpoint(audit, name, keys)) for name in names)
    return {name: head for name, head in found if head is not None and head.size}


def _checkpoint(audit: Path, stream: str, keys: tuple[VerifierKey, ...]) -> Head | None:
    """None for one that no key of this node signed: it binds nobody, and verification names it."""
    note = checkpoint_note(audit, stream)
    try:
        signed = None if note is None else signed_checkpoint(note, stream, keys)
    except LedgerDamagedError:
        return None
    return None if signed is None else Head(signed.size, signed.root)


def _rolled_up(audit: Path, own: str) -> dict[str, Head]:
    """What the last roll-up that can be read says."""
    if not (audit / own).is_dir():
        return {}
    for extent in reversed(extents(audit / own)):
        for line in lines_backward(extent.path, extent.counted_bytes):
            if _NEEDLE not in line[:512]:
                continue
            try:
                found = read_rollup(line)
            except ValueError:
                continue
            if found is not None:
                heads = {one.stream: one.checkpoint() for one in found.streams}
                return {stream: Head(one.size, one.root) for stream, one in heads.items() if one.size}
    return {}
