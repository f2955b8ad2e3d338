"""Signed notes (https://c2sp.org/signed-note): a text, an empty line, and one line for each signature.

<text, ends in LF>
<empty line>
— <key name> <base64 of key ID || signature>
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from authz.tlog.errors import MalformedError, NoteError
from authz.tlog.keys import Verifier, VerifierKey, check_name
from authz.tlog.private_key import PrivateKey
from authz.tlog.strict import check_text, read_base64, read_text, write_base64

MAX_SIGNATURES: Final = 100
"""Most signature lines of a note; the format demands at least 16."""

_DASH: Final = "\u2014 "
_KEY_ID_BYTES: Final = 4


class Signature(NamedTuple):
    """One signature line: whose it says it is, and the signature without the key ID."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, without LF."""
        return signature_line(self.name, self.key_id, self.signature)


class Note(NamedTuple):
    """An opened note. `text` is signed by every key in `signatures`; nothing is known about the `unverified` ones."""

    text: str
    signatures: tuple[Signature, ...]
    unverified: tuple[Signature, ...]


class Signer(PrivateKey):
    """A private key that signs notes."""

    __slots__ = ()

    @property
    def verifier(self) -> VerifierKey:
        """What checks this key's signatures."""
        return VerifierKey(self.name, self.public_key)

    def signature_line(self, text: str) -> str:
        """This key's line for a text, without LF. Raises MalformedError when it cannot be the text of a note."""
        _check_note_text(text)
        return signature_line(self.name, self.key_id, self._key.sign(text.encode()))

    def sign(self, text: str) -> bytes:
        """The note with this key's signature. Raises MalformedError when it cannot be the text of a note."""
        return f"{text}\n{self.signature_line(text)}\n".encode()


def open_note(note: bytes, keys: Sequence[Verifier]) -> Note:
    """The text of a note that at least one of `keys` signed; signatures of other keys are set apart.

    Raises MalformedError for what is no note, NoteError when none of the keys signed it, when the signature of one of
    them does not hold, or when two of them have the same name and ID.
    """
    text, found = split_note(note)
    known = _by_id(keys)
    verified, unverified = [], []
    for one in found:
        key = known.get((one.name, one.key_id))
        if key is None:
            unverified.append(one)
        elif key.verify(text.encode(), one.signature):
            verified.append(one)
        else:
            raise NoteError(f"the signature of {one.name} (key {one.key_id.hex()}) does not hold")
    if not verified:
        raise NoteError(f"not signed by {', '.join(key.name for key in keys) or 'any key, since none was given'}")
    return Note(text, tuple(verified), tuple(unverified))


def _by_id(keys: Sequence[Verifier]) -> dict[tuple[str, bytes], Verifier]:
    known: dict[tuple[str, bytes], Verifier] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise NoteError(f"two keys of the name {key.name} have the ID {key.key_id.hex()}")
    return known


def split_note(note: bytes) -> tuple[str, tuple[Signature, ...]]:
    """Text and signature lines, nothing of it verified, a line that comes twice once. Raises MalformedError."""
    whole = read_text(note, "note")
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise MalformedError("note: it does not end in an empty line and signature lines")
    lines = tail.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"note: {len(lines)} signatures, more than {MAX_SIGNATURES}")
    return text + "\n", tuple(dict.fromkeys(read_signature_line(line) for line in lines))


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """A signature line, without LF."""
    return f"{_DASH}{name} {write_base64(key_id + signature)}"


def read_signature_line(line: str) -> Signature:
    """Raises MalformedError for what is no signature line."""
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise MalformedError(f"note: not a signature line: {line[:100]!r}")
    data = read_base64(encoded, "note: signature")
    if len(data) <= _KEY_ID_BYTES:
        raise MalformedError(f"note: a signature of {len(data)} bytes")
    return Signature(check_name(name), data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def add_signatures(note: bytes, lines: Iterable[str]) -> bytes:
    """The note with more signature lines (each without LF) after its own; one that is there already is not repeated.

    Nothing is verified. Raises MalformedError when the note or a line is none.
    """
    text, found = split_note(note)
    every = dict.fromkeys([*found, *(read_signature_line(line) for line in lines)])
    if len(every) > MAX_SIGNATURES:
        raise MalformedError(f"note: {len(every)} signatures, more than {MAX_SIGNATURES}")
    return "".join([text, "\n", *(f"{one.line}\n" for one in every)]).encode()


def _check_note_text(text: str) -> None:
    check_text(text, "note text")
    if not text.endswith("\n"):
        raise MalformedError("note text: it does not end in LF")
