"""Policy bundles: what one archive must hold before anything is decided by it."""

import hashlib
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from authz.bundle.archive import Limits, unpack
from authz.bundle.errors import BundleError
from authz.bundle.signatures import SIGNATURES
from authz.bundle.strict_json import NotStrictError, read_strict

MODULE = "authz.wasm"
"""The compiled policy. Not in the manifest, so that an OPA server without a Wasm engine takes the bundle too."""

MANIFEST = ".manifest"
DATA = "data.json"
CASES = "authz.cases.json"
"""Optional: decisions that the policy has to give before it is put in force. See `authz.activation`."""

_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A revision names a file, a metric label and a line of a record."""

_T = TypeVar("_T")


class Manifest(Struct, frozen=True):
    """OPA's `.manifest`, as far as we read it. `metadata` is ours to fill: see BuiltWith."""

    revision: str
    roots: tuple[str, ...] = ("",)
    metadata: dict[str, Any] = {}


class BuiltWith(Struct, frozen=True):
    """Our part of the manifest's metadata, under `authz`: the entrypoints of the module and the `opa` that built it.

    `reads`: what the policy's Rego reads of the input, as `authz.history` states it; None in bundles made before that.
    """

    entrypoints: tuple[str, ...]
    opa: str
    reads: dict[str, Any] | None = None


class Bundle(Struct, frozen=True):
    """One policy, complete. `sha256` is the digest of the archive, in hex; `data_json` the data document of the module.

    `signatures_json` is unread: whoever trusts a signature verifies it against `members`.
    """

    revision: str
    wasm: bytes
    data_json: bytes
    entrypoints: tuple[str, ...]
    sha256: str
    manifest: Manifest
    members: dict[str, bytes]

    @property
    def opa(self) -> str:
        """The version of the `opa` that built it, as it says."""
        return self._built_with.opa

    @property
    def reads(self) -> dict[str, Any] | None:
        """What its Rego reads of the input, as its builder says."""
        return self._built_with.reads

    @property
    def _built_with(self) -> BuiltWith:
        return _convert(self.manifest.metadata.get("authz"), BuiltWith)

    @property
    def signatures_json(self) -> bytes | None:
        """The bundle's signatures, not verified."""
        return self.members.get(SIGNATURES)


def read(source: Path | bytes, limits: Limits | None = None) -> Bundle:
    """The bundle in a file or in memory.

    Raises BundleError: unreadable, over a limit, incomplete, or holding what an OPA server and our engine would read
    differently.
    """
    archive = source if isinstance(source, bytes) else _file(source)
    found = read_again(archive, limits or Limits())
    _strict(found.members, MANIFEST)
    if not isinstance(_strict(found.members, DATA), dict):
        raise BundleError(f"the bundle's {DATA} is not an object")
    return found


def read_again(archive: bytes, limits: Limits) -> Bundle:
    """A bundle that was read before, without a second look at its data: of a large policy that takes a while.

    Raises BundleError.
    """
    members = unpack(archive, limits)
    _refuse_strangers(members)
    for name in (MANIFEST, MODULE, DATA):
        if name not in members:
            raise BundleError(f"the bundle has no {name}: build it with `authz policy build`")
    manifest = _decode(members, MANIFEST, Manifest)
    if not _REVISION.fullmatch(manifest.revision):
        raise BundleError(f"the bundle's revision {manifest.revision[:64]!r} is not 1 to 64 letters, digits, . _ -")
    built_with = _convert(manifest.metadata.get("authz"), BuiltWith)
    return Bundle(
        revision=manifest.revision,
        wasm=members[MODULE],
        data_json=members[DATA],
        entrypoints=built_with.entrypoints,
        sha256=hashlib.sha256(archive).hexdigest(),
        manifest=manifest,
        members=members,
    )


def verify_digest(bundle: Bundle, sha256: str) -> None:
    """Make sure that this is the bundle that was meant. Raises BundleError."""
    if bundle.sha256 != sha256.lower():
        raise BundleError(f"the bundle's SHA-256 is {bundle.sha256}, not {sha256}: it is not the one that was meant")


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error


def _refuse_strangers(members: dict[str, bytes]) -> None:
    """OPA merges data files wherever they lie and would load another module; our engine reads one of each."""
    known = {MANIFEST, MODULE, DATA, CASES, SIGNATURES}
    strangers = [name for name in members if name not in known and not name.endswith(".rego")]
    if strangers:
        raise BundleError(f"the bundle holds {strangers[0]!r}, which does not belong there")


def _decode(members: dict[str, bytes], name: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(members[name], type=kind)
    except msgspec.MsgspecError as error:
        raise BundleError(f"the bundle's {name}: {error}") from error


def _convert(value: object, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.MsgspecError as error:
        raise BundleError(f"the bundle's {MANIFEST}, metadata.authz: {error}") from error


def _strict(members: dict[str, bytes], name: str) -> object:
    """Two readers of one document must see the same document."""
    try:
        return read_strict(members[name])
    except NotStrictError as error:
        raise BundleError(f"the bundle's {name}: {error}") from error
