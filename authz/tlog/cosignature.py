"""Cosignatures (https://c2sp.org/tlog-cosignature, type 0x04): a witness saw this checkpoint at this time.

signature = time (uint64, big-endian, seconds since the epoch) || Ed25519 over
    cosignature/v1
    time <time>
    <text of the checkpoint>
"""

from typing import Final, NamedTuple, Self

from authz.tlog.checkpoint import Checkpoint
from authz.tlog.errors import MalformedError
from authz.tlog.keys import check_name, key_id, read_key, verify_ed25519, write_key
from authz.tlog.note import Signature, signature_line
from authz.tlog.private_key import PrivateKey
from authz.tlog.strict import MAX_SIZE

COSIGNATURE: Final = 0x04
"""Algorithm byte of a cosignature with Ed25519."""

MAX_TIME: Final = MAX_SIZE
"""Latest time a cosignature may state."""

_TIME_BYTES: Final = 8
_ED25519_BYTES: Final = 64


class CosignerKey(NamedTuple):
    """A witness's Ed25519 public key under its name, for `open_note`; `str()` is its vkey."""

    name: str
    public_key: bytes

    @classmethod
    def read(cls, vkey: str) -> Self:
        """From a vkey. Raises MalformedError."""
        return cls(*read_key(vkey, COSIGNATURE))

    @property
    def key_id(self) -> bytes:
        """Four bytes that name, algorithm and key determine."""
        return key_id(self.name, COSIGNATURE, self.public_key)

    def named(self, name: str) -> Self:
        """The same key under another name. Raises MalformedError for what is no name."""
        return type(self)(check_name(name), self.public_key)

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether this witness cosigned the checkpoint with this text at the time that `signature` states."""
        time, signed = signature[:_TIME_BYTES], signature[_TIME_BYTES:]
        seconds = int.from_bytes(time, "big")
        return seconds <= MAX_TIME and verify_ed25519(self.public_key, signed, _message(text, seconds))

    def __str__(self) -> str:
        return write_key(self.name, COSIGNATURE, self.public_key)


class CosignerSigner(PrivateKey):
    """A witness's private key."""

    __slots__ = ()

    algorithm = COSIGNATURE

    @property
    def verifier(self) -> CosignerKey:
        """What checks this witness's cosignatures."""
        return CosignerKey(self.name, self.public_key)

    def cosign(self, checkpoint: Checkpoint, time: int) -> str:
        """The signature line, without LF, to be added to the checkpoint's note. `time`: seconds since the epoch.

        Whoever calls this has verified the checkpoint's signature, and that it continues the last one cosigned.
        Raises MalformedError for a time or checkpoint that cannot be written.
        """
        if not 0 <= time <= MAX_TIME:
            raise MalformedError(f"cosignature: {time} is no time")
        signed = self._key.sign(_message(checkpoint.text().encode(), time))
        return signature_line(self.name, self.key_id, time.to_bytes(_TIME_BYTES, "big") + signed)


def cosignature_time(signature: Signature) -> int:
    """When a cosignature that was verified says it was made, in seconds since the epoch. Raises MalformedError."""
    if len(signature.signature) != _TIME_BYTES + _ED25519_BYTES:
        raise MalformedError(f"cosignature of {signature.name}: {len(signature.signature)} bytes, not 72")
    return int.from_bytes(signature.signature[:_TIME_BYTES], "big")


def _message(text: bytes, time: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (time, text)
