"""The file with the node's private key, in Go's form: for its owner only. While keys are changed it holds

# what is to be done
<private key that was in force>
<private key that comes next>

and nobody signs with either.
"""

import os
from pathlib import Path
from typing import Final

from authz.audit.atomic import Shelf
from authz.core import ConfigurationError
from authz.tlog import MalformedError, Signer

_MOST_BYTES: Final = 4096
_UNFINISHED: Final = "# A change of keys was begun and not finished: run `authz keys rotate` again."


def read_key_file(path: Path) -> tuple[Signer, ...]:
    """The key; two of them where a change of keys was begun and not finished. Raises ConfigurationError, OSError."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        text = file.read(_MOST_BYTES)
    if mode & 0o077:
        raise ConfigurationError(f"audit.signing_key: {path} can be read by others; chmod 600 {path}")
    try:
        found = tuple(Signer.read(line) for line in text.decode().splitlines() if line and line != _UNFINISHED)
    except (MalformedError, UnicodeDecodeError):
        found = ()
    if not 1 <= len(found) <= 2:
        raise ConfigurationError(f"audit.signing_key: {path} holds no Ed25519 key as `authz keys new` makes it")
    return found


def replace_key_file(path: Path, signers: tuple[Signer, ...], shelf: Shelf) -> None:
    """The file holds these keys when this returns, after power loss too; at no moment a part of them. OSError."""
    lines = [signer.private_text() for signer in signers]
    if len(signers) > 1:
        lines.insert(0, _UNFINISHED)
    shelf.replace(path, "".join(f"{line}\n" for line in lines).encode())
