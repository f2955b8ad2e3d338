"""Public keys of notes, "vkeys" (https://c2sp.org/signed-note): Ed25519, known by a name and a short ID.

verifier key   <name>+<key ID, 8 hex digits>+<base64 of algorithm byte || public key>
private key    PRIVATE+KEY+<name>+<key ID>+<base64 of algorithm byte || seed>      (the form of Go's sumdb/note)
"""

import re
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from authz.tlog.errors import MalformedError
from authz.tlog.strict import check_text, read_base64, write_base64

ED25519: Final = 0x01
"""Algorithm byte of a plain signature over the text."""

KEY_BYTES: Final = 32
"""Length of an Ed25519 public key, and of a seed."""

_KEY_ID: Final = re.compile(r"[0-9a-f]{8}")


class Verifier(Protocol):
    """A key that some signature line of a note may be from."""

    @property
    def name(self) -> str:
        """What a signature line calls it."""
        ...

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of the same name apart."""
        ...

    def verify(self, text: bytes, signature: bytes, /) -> bool:
        """Whether this key made `signature` (without its key ID) for `text`."""
        ...


class VerifierKey(NamedTuple):
    """An Ed25519 public key under a name; `str()` is its vkey."""

    name: str
    public_key: bytes

    @classmethod
    def read(cls, vkey: str) -> Self:
        """From a vkey. Raises MalformedError."""
        return cls(*read_key(vkey, ED25519))

    @property
    def key_id(self) -> bytes:
        """Four bytes that name, algorithm and key determine."""
        return key_id(self.name, ED25519, self.public_key)

    def named(self, name: str) -> Self:
        """The same key under another name. Raises MalformedError for what is no name."""
        return type(self)(check_name(name), self.public_key)

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` for `text`."""
        return verify_ed25519(self.public_key, signature, text)

    def __str__(self) -> str:
        return write_key(self.name, ED25519, self.public_key)


def key_id(name: str, algorithm: int, public_key: bytes) -> bytes:
    """SHA-256(name || LF || algorithm || public key), its first four bytes."""
    return sha256(b"%b\n%c%b" % (name.encode(), algorithm, public_key)).digest()[:4]


def check_name(name: str) -> str:
    """The name itself. Raises MalformedError when it is empty or has spaces, plus signs or control characters."""
    check_text(name, "key name")
    if not name or "+" in name or any(character.isspace() for character in name):
        raise MalformedError(f"key name: empty, or with a space or plus sign: {name[:64]!r}")
    return name


def read_key(vkey: str, algorithm: int) -> tuple[str, bytes]:
    """Name and public key of a vkey of this algorithm. Raises MalformedError."""
    parts = vkey.split("+", 2)
    if len(parts) != 3 or _KEY_ID.fullmatch(parts[1]) is None:
        raise MalformedError(f"verifier key: not a name, a key ID and base64 between plus signs: {vkey[:100]!r}")
    name, stated_id, encoded = parts
    check_name(name)
    data = read_base64(encoded, "verifier key")
    if data[:1] != bytes([algorithm]) or len(data) != 1 + KEY_BYTES:
        raise MalformedError(f"verifier key {name}: not an Ed25519 key of algorithm {algorithm:#04x}")
    if stated_id != key_id(name, algorithm, data[1:]).hex():
        raise MalformedError(f"verifier key {name}: its ID is not that of its name and key")
    return name, data[1:]


def write_key(name: str, algorithm: int, public_key: bytes) -> str:
    """The vkey."""
    return f"{name}+{key_id(name, algorithm, public_key).hex()}+{write_base64(bytes([algorithm]) + public_key)}"


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature holds. Bytes that are no key verify nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
