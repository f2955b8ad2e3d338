"""What a node's own stream says of the others and of its key, gathered while that stream is verified."""

from collections.abc import Iterator, Sequence
from struct import Struct
from tempfile import SpooledTemporaryFile
from typing import Final

from authz.audit.claims import Claim
from authz.audit.findings import Findings, Place
from authz.audit.rollup_record import ROLLUP, RolledUp, read_rollup
from authz.audit.rotation_record import KEY_ROTATED, Rotation, read_rotation

_ENTRY: Final = Struct(">QQ32s")
_MEMORY_BYTES: Final = 1 << 16
_ROLLUP: Final = b'"type":"%b"' % ROLLUP.encode()
_ROTATED: Final = b'"type":"%b"' % KEY_ROTATED.encode()
_HEADER_BYTES: Final = 512


class _Stream:
    """The claims about one stream, in memory while they are few and in a temporary file when they are many."""

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115  it lives as long as this object
        self.size = 0
        self.root = b""


class NodeClaims:
    """The roll-ups in the stream `name`. Those in its first `covered_seq` records are signed with `key`, a vkey.

    A node signs every second for years: they do not all fit into memory. Close it after use.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.covered_seq = 0
        self.key: str | None = None
        self._streams: dict[str, _Stream] = {}
        self._wrong: list[tuple[int, str]] = []
        self._rotations: list[tuple[int, Rotation | str]] = []

    def close(self) -> None:
        """Nothing can be asked any more."""
        for stream in self._streams.values():
            stream.file.close()

    def observe(self, lines: Sequence[bytes], first_seq: int) -> None:
        """Records of the stream that holds the roll-ups, as they come."""
        for seq, line in enumerate(lines, first_seq):
            header = line[:_HEADER_BYTES]
            if _ROLLUP in header:
                self._read(seq, line)
            elif _ROTATED in header:
                self._rotated(seq, line)

    def streams(self) -> dict[str, int]:
        """Every other stream that was ever listed, and how many records it had at last."""
        return {name: stream.size for name, stream in self._streams.items() if name != self.name}

    def of(self, stream: str) -> Iterator[Claim]:
        """The claims about another stream, by size."""
        found = self._streams.get(stream)
        if found is None or stream == self.name:
            return
        found.file.seek(0)
        while data := found.file.read(_ENTRY.size):
            size, seq, root = _ENTRY.unpack(data)
            signed = self.key if seq <= self.covered_seq else None
            yield Claim(size, root, "rollup", f"record {seq} of the stream {self.name}", signed)

    def report(self, findings: Findings) -> None:
        """Name the roll-ups that cannot be right, whatever the streams hold, and the keys that were replaced."""
        for seq, what in self._wrong:
            findings.issue("rollup_mismatch", Place(), f"Record {seq}: {what}")
        for seq, rotation in self._rotations:
            if isinstance(rotation, str):
                findings.issue("key_rotation", Place(), f"Record {seq}: no rotation of a key: {rotation}")
            else:
                old, new = rotation.old.key_id.hex(), rotation.new.key_id.hex()
                findings.note("key_rotated", Place(), f"Record {seq}: the key {new} takes the place of {old}")

    def _rotated(self, seq: int, line: bytes) -> None:
        try:
            rotation = read_rotation(line)
        except ValueError as error:
            self._rotations.append((seq, str(error)))
            return
        if rotation is not None:
            self._rotations.append((seq, rotation))

    def _read(self, seq: int, line: bytes) -> None:
        try:
            rollup = read_rollup(line)
        except ValueError as error:
            self._wrong.append((seq, f"a roll-up that cannot be read: {error}"))
            return
        for entry in rollup.streams if rollup is not None else ():
            self._enter(seq, entry)

    def _enter(self, seq: int, entry: RolledUp) -> None:
        stream = self._streams.get(entry.stream)
        if stream is None:
            stream = self._streams[entry.stream] = _Stream()
        root = entry.checkpoint().root
        if entry.size > stream.size:
            stream.size, stream.root = entry.size, root
            stream.file.write(_ENTRY.pack(entry.size, seq, root))
        elif entry.size < stream.size:
            self._wrong.append((seq, f"{entry.stream} had {stream.size} records before and has {entry.size} now"))
        elif root != stream.root:
            self._wrong.append((seq, f"two different trees of {entry.stream} with {entry.size} records were signed"))
