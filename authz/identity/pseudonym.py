"""Keyed pseudonyms: what stands in records in place of a user's id or a route parameter."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

from authz.core import ConfigurationError

_MIN_KEY_BYTES = 32
_REMEMBERED = 8192


class Pseudonymiser:
    """HMAC-SHA256 under one key, cut to 128 bits (core.Pseudonyms).

    The same value gives the same pseudonym whatever it stands for, so that "is this the owner" can be asked of the
    records again. Whoever holds the key can test guesses; destroying it cuts the link for good. Raises
    ConfigurationError when the key is short.
    """

    def __init__(self, key: bytes, key_id: str | None = None) -> None:
        if len(key) < _MIN_KEY_BYTES:
            raise ConfigurationError(f"the pseudonym key is shorter than {_MIN_KEY_BYTES} bytes")
        self.key_id = key_id or hashlib.sha256(key).hexdigest()[:8]
        self._key = key
        self._prefix = f"h1:{self.key_id}:"
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._compute)

    def pseudonym(self, value: str) -> str:
        """`h1:<key id>:<22 characters of base64url>`."""
        return self._remembered(value)

    def salted(self, salt: bytes, value: str) -> str:
        """A pseudonym of the same form that takes the salt too: without it not even the key's holder can make it."""
        return self._text(self._digest(b"authz-salted\0" + salt, value))

    def handle(self, value: str, *, salted: bool) -> bytes:
        """16 bytes by which a table of identities finds the value without holding it. They are in no record.

        `salted`: of its row with a salt, or of that with a name alone.
        """
        return self._digest(b"authz-salted-handle\0" if salted else b"authz-handle\0", value)

    def _compute(self, value: str) -> str:
        return self._text(self._digest(b"authz\0", value))

    def _digest(self, use: bytes, value: str) -> bytes:
        return hmac.digest(self._key, use + value.encode(errors="surrogatepass"), "sha256")[:16]

    def _text(self, digest: bytes) -> str:
        return self._prefix + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def load_key(path: Path) -> bytes:
    """The key in a file, without white space at its end (`openssl rand -hex 32 > FILE` makes one).

    Raises ConfigurationError when the file cannot be read, is short, or is open to other users of the machine.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(4096).rstrip()
    except OSError as error:
        raise ConfigurationError(
            f"the pseudonym key {path} cannot be read: {error.strerror}. Make one, if there was none: "
            f"openssl rand -hex 32 > {path}; chmod 600 {path}"
        ) from None
    if mode & 0o027:
        raise ConfigurationError(f"the pseudonym key {path} is open to others: chmod 600 {path}")
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigurationError(
            f"the pseudonym key {path} is shorter than {_MIN_KEY_BYTES} bytes: openssl rand -hex 32 > {path}"
        )
    return key


def load_or_create_key(path: Path) -> bytes:
    """The key in a file, made first when there is none. Two who start at once end up with one key."""
    if not path.exists():
        create_once(path, secrets.token_hex(32).encode() + b"\n")
    return load_key(path)


def create_once(path: Path, content: bytes) -> None:
    """Write a secret file (0600) whole, unless another was faster. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
