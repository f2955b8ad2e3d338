"""The keys of the pseudonyms: one in force, and older ones that are kept so that what they hashed is still found.

    FILE                    the key in force
    FILE.<key id>           one that was: its records can be searched while the file is there

The time in which one key was in force is its epoch. Without a key nobody can tell whom the records of its epoch are
about, so a key that is destroyed unlinks all of them at once.
"""

import os
import re
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from authz.core import AuthzError
from authz.identity import Pseudonymiser, create_once, load_key, load_or_create_key

DEFAULT_KEY: Final = Path("keys") / "pseudonym.key"
"""Below the state directory, where `audit.pseudonym_key` names no other."""

_OLD: Final = re.compile(r"[0-9a-f]{8}")


class KeyInForceError(AuthzError):
    """The key that was to be destroyed is the one in force."""


class NoSuchKeyError(AuthzError):
    """There is no key with this id."""


class Keyring(NamedTuple):
    """The key in force and the older ones, by key id. Implements core.Pseudonyms under the one in force."""

    current: Pseudonymiser
    old: tuple[Pseudonymiser, ...] = ()

    @property
    def all(self) -> tuple[Pseudonymiser, ...]:
        """Every key that is held, the one in force first."""
        return (self.current, *self.old)

    def pseudonym(self, value: str) -> str:
        """As it is written down now."""
        return self.current.pseudonym(value)

    def pseudonyms(self, value: str) -> tuple[str, ...]:
        """As it is, or was, written down under every key that is held."""
        return tuple(key.pseudonym(value) for key in self.all)


def load_keyring(file: Path) -> Keyring:
    """The key in `file` and the older ones beside it. Raises ConfigurationError that names the file."""
    current = Pseudonymiser(load_key(file))
    older = {key.key_id: key for key in (Pseudonymiser(load_key(path)) for path in _older_files(file))}
    older.pop(current.key_id, None)
    return Keyring(current, tuple(older[key_id] for key_id in sorted(older)))


def load_or_create_keyring(file: Path) -> Keyring:
    """As `load_keyring`, the key in force made first when there is none."""
    load_or_create_key(file)
    return load_keyring(file)


class Rotated(NamedTuple):
    """The ids of the key that was put in force and of the one before it."""

    new: str
    old: str


def rotate(file: Path) -> Rotated:
    """Put a new key in force; the old one is kept for search. A running service takes it at its next start.

    Cut short, it leaves one key in force and none lost. Raises ConfigurationError, OSError.
    """
    old = Pseudonymiser(load_key(file)).key_id
    draft = file.with_name(f"{file.name}.next")
    draft.unlink(missing_ok=True)
    create_once(draft, secrets.token_hex(32).encode() + b"\n")
    new = Pseudonymiser(load_key(draft)).key_id
    kept = _old_file(file, old)
    if not kept.exists():
        os.link(file, kept)
    _settle(file.parent)
    draft.rename(file)
    _settle(file.parent)
    return Rotated(new, old)


def destroy(file: Path, key_id: str) -> None:
    """Overwrite and remove an older key: from then on nobody can link the records of its epoch.

    Copies elsewhere (other replicas, backups, a running process) have to go too. Raises KeyInForceError,
    NoSuchKeyError, ConfigurationError, OSError.
    """
    if Pseudonymiser(load_key(file)).key_id == key_id:
        raise KeyInForceError(f"{key_id} is the key in force: rotate first, and start the service anew")
    found = [path for path in _older_files(file) if Pseudonymiser(load_key(path)).key_id == key_id]
    if not found:
        raise NoSuchKeyError(f"there is no key {key_id} beside {file}")
    for path in found:
        _overwrite(path)
        path.unlink()
    _settle(file.parent)


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(bytes(path.stat().st_size))
        os.fsync(file.fileno())


def _older_files(file: Path) -> list[Path]:
    prefix = f"{file.name}."
    beside = file.parent.iterdir() if file.parent.is_dir() else ()
    return sorted(
        path for path in beside if path.name.startswith(prefix) and _OLD.fullmatch(path.name.removeprefix(prefix))
    )


def _old_file(file: Path, key_id: str) -> Path:
    return file.with_name(f"{file.name}.{key_id}")


def _settle(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
