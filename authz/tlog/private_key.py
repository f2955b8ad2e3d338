"""Private keys of notes, in the form of Go's sumdb/note.

PRIVATE+KEY+<name>+<key ID, 8 hex digits>+<base64 of algorithm byte || seed>
"""

from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from authz.tlog.errors import MalformedError
from authz.tlog.keys import ED25519, KEY_BYTES, check_name, key_id, write_key
from authz.tlog.strict import read_base64, write_base64

_PRIVATE: Final = "PRIVATE+KEY+"


class PrivateKey:
    """An Ed25519 private key under a name. Whoever holds it can sign; it never shows in a representation."""

    __slots__ = ("_key", "name")

    algorithm: int = ED25519

    def __init__(self, name: str, seed: bytes) -> None:
        """Raises MalformedError for what is no name or no seed."""
        if len(seed) != KEY_BYTES:
            raise MalformedError(f"private key: a seed of {len(seed)} bytes, not {KEY_BYTES}")
        self.name = check_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key from the system's randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def read(cls, text: str) -> Self:
        """From its text form. Raises MalformedError, which never shows the key."""
        if not text.startswith(_PRIVATE):
            raise MalformedError(f"private key: it does not begin with {_PRIVATE}")
        parts = text.removeprefix(_PRIVATE).split("+", 2)
        try:
            name, stated_id, encoded = parts
            data = read_base64(encoded, "private key")
        except (ValueError, MalformedError):
            raise MalformedError("private key: not a name, a key ID and base64 between plus signs") from None
        if data[:1] != bytes([cls.algorithm]):
            raise MalformedError(f"private key: not of algorithm {cls.algorithm:#04x}")
        key = cls(name, data[1:])
        if stated_id != key.key_id.hex():
            raise MalformedError("private key: its ID is not that of its name and key")
        return key

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """Four bytes that name, algorithm and public key determine."""
        return key_id(self.name, self.algorithm, self.public_key)

    @property
    def vkey(self) -> str:
        """The text form of the public key, to be handed out."""
        return write_key(self.name, self.algorithm, self.public_key)

    def private_text(self) -> str:
        """The text form of the private key, without LF."""
        encoded = write_base64(bytes([self.algorithm]) + self._key.private_bytes_raw())
        return f"{_PRIVATE}{self.name}+{self.key_id.hex()}+{encoded}"

    def named(self, name: str) -> Self:
        """The same key under another name. Raises MalformedError for what is no name."""
        return type(self)(name, self._key.private_bytes_raw())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vkey})"
