"""The record in which a node's key hands over to the next one: a note that both of them signed.

authz-key-rotation/1
<vkey that was in force>
<vkey that is in force now>
<stream> <size> <root, base64>      for each stream: the last tree that the old key signed

The old key speaks for the new one, so whoever knows one of them knows both; and it is worth nothing beyond the sizes
stated here, whoever holds it later.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from authz.audit.record import read_header
from authz.core import AuthzError
from authz.tlog import (
    Checkpoint,
    MalformedError,
    Signer,
    VerifierKey,
    add_signatures,
    open_note,
    read_hash,
    read_number,
    split_note,
    write_base64,
)

KEY_ROTATED: Final = "audit.key_rotated"

_FORMAT: Final = "authz-key-rotation/1"


class KeyRotated(Struct, frozen=True):
    """Body of `audit.key_rotated`. `key_id`: of the key that is in force now, hex; `note`: see above."""

    key_id: str
    note: str


class Rotation(NamedTuple):
    """What such a note says. `heads`: by stream, the last tree that `old` signed."""

    old: VerifierKey
    new: VerifierKey
    heads: Mapping[str, Checkpoint]


_decode = msgspec.json.Decoder(KeyRotated).decode


def key_rotated(old: Signer, new: Signer, heads: Mapping[str, Checkpoint]) -> KeyRotated:
    """The body for two keys of one name; `heads` by stream. Raises MalformedError."""
    if old.name != new.name:
        raise MalformedError(f"key rotation: {new.name!r} cannot go on for {old.name!r}")
    trees = [f"{stream} {heads[stream].size} {write_base64(heads[stream].root)}" for stream in sorted(heads)]
    text = "".join(f"{line}\n" for line in (_FORMAT, old.vkey, new.vkey, *trees))
    note = add_signatures(old.sign(text), [new.signature_line(text)])
    return KeyRotated(new.key_id.hex(), note.decode())


def read_rotation(line: bytes) -> Rotation | None:
    """The statement of a record; None when it is of another type.

    Raises ValueError when it makes no sense, or is not signed with both keys.
    """
    if read_header(line).type != KEY_ROTATED:
        return None
    try:
        return _opened(_decode(line).note.encode())
    except (msgspec.MsgspecError, AuthzError, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from None


def _opened(note: bytes) -> Rotation:
    kind, *keys = split_note(note)[0].split("\n")[:3]
    if kind != _FORMAT or len(keys) != 2:
        raise MalformedError(f"key rotation: it does not begin with {_FORMAT} and two keys")
    old, new = (VerifierKey.read(key) for key in keys)
    if old.name != new.name or old == new:
        raise MalformedError("key rotation: not two keys of one name")
    for key in (old, new):
        open_note(note, [key])
    trees = [line.split(" ") for line in split_note(note)[0].split("\n")[3:-1]]
    if any(len(tree) != 3 for tree in trees):
        raise MalformedError("key rotation: a tree is not a stream, a size and a root")
    return Rotation(old, new, {stream: _head(old.name, stream, size, root) for stream, size, root in trees})


def _head(node: str, stream: str, size: str, root: str) -> Checkpoint:
    return Checkpoint(
        f"{node}/{stream}", read_number(size, "key rotation: size"), read_hash(root, "key rotation: root")
    )
