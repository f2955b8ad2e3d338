"""Which keys a ledger's checkpoints are held to, and what they say about a note."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.findings import TrustedKeys, TrustSource
from authz.audit.rotation_record import Rotation
from authz.core import BadRequestError
from authz.tlog import (
    Checkpoint,
    CheckpointError,
    NoteError,
    TlogError,
    VerifierKey,
    open_note,
    read_checkpoint,
    split_note,
)

PUBLIC_KEY_NAME: Final = "audit.pub"

_MOST_BYTES: Final = 1 << 20


class Opened(NamedTuple):
    """A checkpoint whose signature holds: `node` is the key it is signed with, under the node's name."""

    checkpoint: Checkpoint
    node: VerifierKey


class Trust(NamedTuple):
    """`keys` are the node's: each signs the checkpoints of a stream under the name `<key's name>/<stream>`.

    `retired`: of each key that handed over to another one, how many records of each stream it had signed by then.
    """

    source: TrustSource
    where: str
    keys: tuple[VerifierKey, ...]
    retired: Mapping[VerifierKey, Mapping[str, int]] = {}

    @property
    def told(self) -> TrustedKeys:
        """The same for the report."""
        return TrustedKeys(self.source, self.where, tuple(str(key) for key in self.keys))

    def open(self, note: bytes, stream: str) -> Opened:
        """The checkpoint of a stream. Raises TlogError when it is none, or not signed with a key in force then."""
        nodes = {(key.name, key.key_id): node for node in self.keys for key in [node.named(f"{node.name}/{stream}")]}
        found = open_note(note, [node.named(f"{node.name}/{stream}") for node in self.keys])
        checkpoint = read_checkpoint(found.text)
        signers = [nodes[one.name, one.key_id] for one in found.signatures if one.name == checkpoint.origin]
        if not signers:
            raise CheckpointError(f"a checkpoint of {checkpoint.origin!r}, signed as {found.signatures[0].name!r}")
        for node in signers:
            if node not in self.retired or checkpoint.size <= self.retired[node].get(stream, 0):
                return Opened(checkpoint, node)
        most = self.retired[signers[0]].get(stream, 0)
        raise NoteError(f"{checkpoint.size} records, by a key that was replaced when it had signed {most}")

    def after(self, rotations: Iterable[Rotation]) -> "Trust":
        """The keys that those which are known speak for, both ways, and what the replaced ones are still good for."""
        keys, retired = dict.fromkeys(self.keys), dict(self.retired)
        for rotation in rotations:
            if rotation.old in keys or rotation.new in keys:
                keys |= dict.fromkeys((rotation.new, rotation.old))
                retired[rotation.old] = {stream: head.size for stream, head in rotation.heads.items()}
        return self._replace(keys=tuple(keys), retired=retired)


def find_trust(audit: Path, given: Sequence[Path] = ()) -> Trust:
    """The keys that were `given` as files, else those beside the ledger, else those in it.

    Raises BadRequestError when a given file holds no key. Without any key there is nothing to hold the ledger to,
    which is for the report to say.
    """
    if given:
        keys = tuple(key for path in given for key in _given(path))
        return Trust("given", ", ".join(str(path) for path in given), keys)
    places: tuple[tuple[TrustSource, Path], ...] = (
        ("beside", audit.parent / "keys" / PUBLIC_KEY_NAME),
        ("self_declared", audit / PUBLIC_KEY_NAME),
    )
    for source, path in places:
        try:
            return Trust(source, str(path), _read(path))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, TlogError) as error:
            return Trust("none", f"{path} cannot be used: {error}", ())
    return Trust("none", "", ())


def read_unverified(note: bytes) -> Checkpoint:
    """What a note says that nobody vouches for. Raises TlogError."""
    return read_checkpoint(split_note(note)[0])


def _given(path: Path) -> tuple[VerifierKey, ...]:
    try:
        keys = _read(path)
    except (OSError, UnicodeDecodeError, TlogError) as error:
        raise BadRequestError(f"--public-key {path}: {error}") from None
    if not keys:
        raise BadRequestError(f"--public-key {path}: there is no key in it")
    return keys


def _read(path: Path) -> tuple[VerifierKey, ...]:
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES).decode()
    return tuple(VerifierKey.read(line) for line in text.split())
