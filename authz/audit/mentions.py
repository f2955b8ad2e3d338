"""How many records hold a text anywhere: what of a person a ledger still says."""

from collections.abc import Callable, Sequence
from pathlib import Path

from authz.audit.extent import extents, line_blocks
from authz.audit.location import LedgerUnreadableError, stream_directories


def mentions(
    texts: Sequence[str], path: Path | str | None = None, progress: Callable[[int], None] = lambda _bytes: None
) -> dict[str, int]:
    """For each text, in how many records of the ledger it stands. Reads all that counts of every stream.

    `path` as in `verify_audit_integrity`; `progress` is told how many bytes were read. Raises LedgerUnreadableError.
    """
    needles = {text: text.encode() for text in texts}
    found = dict.fromkeys(texts, 0)
    if not needles:
        return found
    try:
        for directory in stream_directories(path):
            for extent in extents(directory):
                for lines, _rest in line_blocks(extent.path, extent.counted_bytes):
                    for text, needle in needles.items():
                        found[text] += sum(needle in line for line in lines)
                    progress(sum(map(len, lines)) + len(lines))
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    return found
