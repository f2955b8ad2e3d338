"""Anchors: places elsewhere that hold copies of checkpoints, one for each size, never replaced."""

from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from authz.anchoring.errors import HistoryError, OutwardError
from authz.anchoring.published import Published, checkpoint_in
from authz.tlog import Checkpoint, MalformedError


class Anchor(Protocol):
    """One place for copies."""

    name: str

    async def keep(self, published: Published) -> None:
        """Have the checkpoint in its place. Says yes if it is there already, with whatever signatures.

        Raises OutwardError; HistoryError if another checkpoint is there. Returns within a bounded time.
        """
        ...


def escaped(origin: str) -> str:
    """The name of a log as one name of a directory or one segment of a URL."""
    name = quote(origin, safe="")
    return name.replace(".", "%2E") if not name.strip(".") else name


def check_same(kept: bytes, published: Published, place: Path | str) -> None:
    """Whether what a place holds is this very checkpoint: HistoryError if it is another one, OutwardError if none."""
    held = read_kept(kept, place)
    if held[:3] != published.checkpoint[:3]:
        raise HistoryError(
            f"{place} holds another checkpoint, of {held.size} records of {held.origin!r} with root {held.root.hex()}"
        )


def read_kept(kept: bytes, place: Path | str) -> Checkpoint:
    """The checkpoint that a place holds. Raises OutwardError when it is none."""
    try:
        return checkpoint_in(kept)
    except MalformedError as error:
        raise OutwardError(f"{place} is no checkpoint: {error}") from None
