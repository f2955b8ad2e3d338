"""The manifest of an evidence package: what was asked, what is in it, and the digest of every other file."""

import hashlib
import json
import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from authz import __version__
from authz.audit.evidence.policies import KeptPolicy
from authz.audit.evidence.selection import Selection
from authz.audit.evidence.zipped import files_in

FORMAT: Final = "authz-evidence/1"
NAME: Final = "manifest.json"

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class PackedStream(Struct, frozen=True):
    """One stream with records to show: how many of the log's `size`, number of the first and the last of them.

    `uncovered`: how many more match and were not under its checkpoint yet.
    """

    stream: str
    origin: str
    size: int
    shown: int
    first: int
    last: int
    uncovered: int

    @classmethod
    def of(cls, selection: Selection) -> "PackedStream":
        """From what was selected."""
        found = selection.covered
        return cls(
            found.stream, found.checkpoint.origin, found.checkpoint.size, selection.shown, selection.first,
            selection.last, selection.uncovered,
        )  # fmt: skip


class PackedPolicy(Struct, frozen=True):
    """A policy that records name. `file`: its bundle, None where that was not kept; `origin`: where it is from."""

    revision: str
    file: str | None
    origin: str

    @classmethod
    def of(cls, kept: KeptPolicy) -> "PackedPolicy":
        """From what was kept. A revision comes out of a record: one that is no plain name is named by its digest."""
        plain = _PLAIN.fullmatch(kept.revision) is not None
        name = kept.revision if plain else hashlib.sha256(kept.revision.encode()).hexdigest()
        return cls(kept.revision, None if kept.archive is None else f"policies/{name}.tar.gz", kept.origin)


class Manifest(Struct, frozen=True, kw_only=True):
    """`question`: the filters. `searched`: every stream that was. `uncovered`: matching events that are left out.

    `files`: SHA-256 in hex of every file but the manifest itself.
    """

    format: str = FORMAT
    made_by: str = f"authz {__version__}"
    question: dict[str, str]
    compact: bool
    node: bool
    streams: list[PackedStream]
    searched: list[str]
    uncovered: int
    policies: list[PackedPolicy]
    files: dict[str, str]


def write_manifest(directory: Path, manifest: Manifest) -> str:
    """Write it, and return its SHA-256 in hex. Raises OSError."""
    content = json.dumps(msgspec.to_builtins(manifest), indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"
    (directory / NAME).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def digests(directory: Path) -> dict[str, str]:
    """The SHA-256 of every file in a directory, by name. Raises OSError."""
    found = {}
    for name in files_in(directory):
        with (directory / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
