"""The witness's own key, which goes with its memory, and the keys of the logs it watches."""

import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from authz.core import ConfigurationError
from authz.tlog import CosignerSigner, MalformedError, VerifierKey
from authz.witness.store import Store

KEY_NAME: Final = "witness.key"
STORE_NAME: Final = "witness.db"

_MAX_KEY_BYTES: Final = 4096
_MAX_KEYS_BYTES: Final = 1 << 20


def open_state(directory: Path, name: str | None = None) -> tuple[CosignerSigner, Store]:
    """The key and the memory of a witness, both made when there is no key yet.

    `name` is a new key's (by default the machine's, and `/witness`); of an existing key it must be the name.

    Raises ConfigurationError when they cannot be used or do not belong together: a witness that has lost its memory
    must not sign under its old key. Raises CannotCosignError for an unusable memory.
    """
    path = directory / KEY_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = _read_private(path) if path.exists() else None
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: cannot be used: {error.strerror}") from None
    store = Store(directory / STORE_NAME)
    if text is None:
        return _made(path, name or f"{socket.gethostname()}/witness", store), store
    signer = _signer(path, text)
    if name not in {None, signer.name}:
        raise ConfigurationError(f"--name: the key in {path} is called {signer.name!r}, not {name!r}")
    if not store.knows(signer.vkey):
        raise ConfigurationError(
            f"{directory / STORE_NAME} is not the memory that {path} has signed by: it was lost or replaced. Bring it "
            f"back, or move {path} away, start with a new key, and have the logs trust that one"
        )
    return signer, store


def read_log_keys(sources: Iterable[str]) -> list[VerifierKey]:
    """Verifier keys, each given as itself or as a file with one on each line. Raises ConfigurationError."""
    keys: list[VerifierKey] = []
    for source in sources:
        try:
            keys.append(VerifierKey.read(source))
        except MalformedError:
            keys += _keys_in(Path(source))
    return keys


def _made(path: Path, name: str, store: Store) -> CosignerSigner:
    """A new key. The memory knows it before it is on disk, so that a crash in between leaves no key without one."""
    try:
        signer = CosignerSigner.generate(name)
    except MalformedError as error:
        raise ConfigurationError(f"--name: {error}") from None
    store.introduce(signer.vkey)
    try:
        _write_whole(path, f"{signer.private_text()}\n".encode())
    except FileExistsError:
        raise ConfigurationError(f"{path}: another witness is being started there") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
    return signer


def _read_private(path: Path) -> str:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ConfigurationError(f"{path} is open to others: chmod 600 {path}")
        return file.read(_MAX_KEY_BYTES).decode("utf-8", "replace").rstrip("\n")


def _signer(path: Path, text: str) -> CosignerSigner:
    try:
        return CosignerSigner.read(text)
    except MalformedError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _write_whole(path: Path, content: bytes) -> None:
    """Write a new file (0600) and its name to the device, all of it or nothing. Raises OSError."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        Path(draft).unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _keys_in(path: Path) -> list[VerifierKey]:
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_KEYS_BYTES).decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise ConfigurationError(f"--log: {path} is no verifier key, and no file: {error.strerror}") from None
    try:
        keys = [VerifierKey.read(line) for line in lines if line]
    except MalformedError as error:
        raise ConfigurationError(f"--log: {path}: {error}") from None
    if not keys:
        raise ConfigurationError(f"--log: {path} holds no verifier key")
    return keys
