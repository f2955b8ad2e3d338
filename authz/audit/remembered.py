"""The checkpoints that verification saw the last time, to hold the ledger to them the next time.

    <memory>/<SHA-256 of the node's name, 32 hex digits>/<stream>.checkpoint

The memory holds signed notes as they were seen. It is as good as the place it is in: on another machine than the
ledger's it finds a ledger that was put back to an older state; on the same one, only if whoever did that forgot it.
"""

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from authz.audit.findings import Issue, Verification
from authz.audit.heads import Head, published_nodes
from authz.audit.kept import Kept, read_kept
from authz.audit.trust import Trust
from authz.tlog import TlogError

_SUFFIX: Final = ".checkpoint"


def default_memory() -> Path:
    """Where checkpoints are remembered: under XDG_STATE_HOME, by default `~/.local/state`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "authz" / "checkpoints"


class Remembered:
    """`kept` is what is remembered of the ledger in `audit`. Without a `directory` there is no memory.

    A memory that cannot be read or written is no damage, and is noted.
    """

    def __init__(self, directory: Path | None, audit: Path, trust: Trust) -> None:
        self.kept: list[Kept] = []
        self._directory = directory
        self._failure: str | None = None
        if directory is None:
            return
        try:
            for node in sorted(set(published_nodes(audit, trust))):
                self.kept += _read(_place(directory, node), trust)
        except (OSError, TlogError) as error:
            self._failure = f"What was seen the last time cannot be read, and is left as it is: {error}"

    def after(self, found: Verification, heads: Mapping[str, Head]) -> Verification:
        """Remember the checkpoints of the streams that are intact. Gives what was found, with a note if that failed."""
        if self._directory is None:
            return found
        if self._failure is None:
            damaged = {issue.stream for issue in found.issues}
            self._remember(self._directory, {name: head for name, head in heads.items() if name not in damaged})
        if self._failure is None:
            return found
        note = Issue("", "", 0, 0, "not_remembered", self._failure)
        return msgspec.structs.replace(found, notes=(*found.notes, note))

    def _remember(self, directory: Path, heads: Mapping[str, Head]) -> None:
        known = {(kept.node, kept.stream): kept.claim.size for kept in self.kept}
        try:
            for stream, head in heads.items():
                if head.claim.key is not None and head.claim.size >= known.get((head.node, stream), 0):
                    _replace(_place(directory, head.node), stream, head.note)
        except OSError as error:
            self._failure = f"What was seen cannot be remembered for the next time: {error}"


def _place(directory: Path, node: str) -> Path:
    return directory / sha256(node.encode()).hexdigest()[:32]


def _read(directory: Path, trust: Trust) -> Iterator[Kept]:
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        yield read_kept(path.read_bytes(), "remembered", str(path), trust)


def _replace(directory: Path, stream: str, note: bytes) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = directory / f".{stream}.{os.getpid()}"
    try:
        draft.write_bytes(note)
        draft.replace(directory / f"{stream}{_SUFFIX}")
    finally:
        draft.unlink(missing_ok=True)
