"""The node's signing key: read by the auditor, and by nobody else.

<state directory>/keys/audit.key     the private key in Go's form; its name is the node's origin
<state directory>/keys/audit.pub     the public keys, newest first, one vkey a line
"""

import os
import socket
from pathlib import Path
from secrets import token_hex
from typing import Final

from authz.audit.atomic import Shelf
from authz.audit.files import Files
from authz.audit.key_file import read_key_file
from authz.core import ConfigurationError
from authz.tlog import MalformedError, Signer, VerifierKey

KEY_NAME: Final = "audit.key"
PUBLIC_NAME: Final = "audit.pub"


def key_path(state: Path, stated: str | None = None) -> Path:
    """Where the private key lies: where the configuration says, else in the state directory."""
    return state / "keys" / KEY_NAME if stated is None else Path(stated)


def open_node_key(state: Path, stated: str | None = None) -> Signer:
    """The node's key; one is made in the state directory when none is stated and there is none.

    Its public half is in `audit.pub` when this returns. Raises ConfigurationError.
    """
    path = key_path(state, stated)
    try:
        signer = _read(path) if stated is not None or path.exists() else make_node_key(state, default_origin())
        _publish(state, signer)
    except OSError as error:
        raise ConfigurationError(f"audit.signing_key: {error.filename}: {error.strerror}") from None
    return signer


def make_node_key(state: Path, origin: str) -> Signer:
    """A new key of this name; FileExistsError when there is one. Raises ConfigurationError for the name, OSError."""
    try:
        signer = Signer.generate(origin)
    except MalformedError as error:
        raise ConfigurationError(f"origin: {error}") from None
    path = key_path(state)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _put_new(path, f"{signer.private_text()}\n".encode())
    return signer


def default_origin() -> str:
    """A name for a node that was given none: its host's, and something that no other has."""
    host = "".join(each for each in socket.gethostname() if each.isascii() and (each.isalnum() or each in "-."))
    return f"{host or 'node'}/{token_hex(4)}"


def _put_new(path: Path, data: bytes) -> None:
    """A whole file for its owner only, or none; never in the place of another one."""
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
        os.link(draft, path)
    finally:
        os.close(fd)
        draft.unlink()
    Files().sync_directory(path.parent)


def _read(path: Path) -> Signer:
    found = read_key_file(path)
    if len(found) > 1:
        raise ConfigurationError(
            f"audit.signing_key: {path}: a change of keys was begun and not finished; run `authz keys rotate` again"
        )
    return found[0]


def _publish(state: Path, signer: Signer) -> None:
    """Have the public key first in `audit.pub`. Another one comes by `authz keys rotate`, not by another file."""
    path = state / "keys" / PUBLIC_NAME
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = path.read_text(encoding="utf-8").split() if path.exists() else []
    for line in known:
        _check_public(path, line)
    if not known:
        Shelf().replace(path, f"{signer.vkey}\n".encode())
    elif signer.vkey != known[0]:
        raise ConfigurationError(
            f"audit.signing_key: its public half is not the first in {path}, so another key is in force. "
            "Change keys with `authz keys rotate`"
        )


def _check_public(path: Path, line: str) -> None:
    try:
        VerifierKey.read(line)
    except MalformedError as error:
        raise ConfigurationError(f"{path}: {error}") from None
