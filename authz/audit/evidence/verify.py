#!/usr/bin/env python3
"""Checks evidence from an authorization ledger. One file, nothing but Python 3.8 or newer; it writes nothing.

    python3 verify.py [PACKAGE]                       an evidence package: its zip, or the directory it was unpacked to
    python3 verify.py --proof FILE [--record FILE]    the proof of one event, as `authz audit prove` makes it
    python3 verify.py --ledger DIR                    a whole ledger, from its raw files

with  --public-key KEY    the node's public key, or a file of such keys. Get it from the node's people, not from the
                          package: a key that comes with the evidence proves only that the evidence fits itself.
      --witness KEY       a witness's public key: says when it saw the node's checkpoint.
      --since FILE        with --ledger: a checkpoint that was kept elsewhere. The ledger must go on from it.

Exit code 0: nothing is wrong; read what was proven and what not. 1: something is wrong. 3: could not find out.

The formats: docs/ledger-format.md of the service. The cryptography: SHA-256, the trees of RFC 6962, Ed25519 of
RFC 8032, notes, checkpoints and proofs of https://c2sp.org (signed-note, tlog-checkpoint, tlog-proof,
tlog-cosignature).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Iterable, Iterator, NamedTuple, NoReturn, Sequence, Tuple

MAX_SIZE = 2**63 - 1
MAX_LINE = 65535
MAX_RECORD = 60000
MAX_SMALL = 1 << 24
LATEST = 253402300799
"""The last second that a date can show."""

SEALED = re.compile(r"([0-9]{12}\.jsonl)(?:\.zst)?")
STREAM = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class WrongError(Exception):
    """The evidence is not what it says."""


class UnknownError(Exception):
    """It could not be found out."""


FAULTS = (WrongError, OSError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)
"""What reading a spoilt file can end in."""


def wrong(message: str) -> NoReturn:
    raise WrongError(message)


# ---- Ed25519: verification only, RFC 8032 section 5.1.7, without cofactor ----

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)

Point = Tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z."""

NEUTRAL: Point = (0, 1, 1, 0)


def add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, p: Point) -> Point:
    total = NEUTRAL
    while scalar:
        if scalar & 1:
            total = add(total, p)
        p, scalar = add(p, p), scalar >> 1
    return total


def encode_point(p: Point) -> bytes:
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(data: bytes) -> Point | None:
    """The point, None for bytes that are not the one encoding of a point."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature holds. A key of small order, for which signatures can be made up, verifies nothing."""
    point = decode_point(public_key) if len(public_key) == 32 else None
    if point is None or BASE is None or len(signature) != 64:
        return False
    if encode_point(multiply(8, point)) == encode_point(NEUTRAL):
        return False
    scalar = int.from_bytes(signature[32:], "little")
    if scalar >= L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % L
    minus = (P - point[0], point[1], point[2], P - point[3])
    return encode_point(add(multiply(scalar, BASE), multiply(challenge, minus))) == signature[:32]


# ---- Values in their one form ----


def read_number(text: str, what: str) -> int:
    if re.fullmatch("0|[1-9][0-9]{0,18}", text) is None or int(text) > MAX_SIZE:
        wrong(f"{what}: {shown(text)} is no number")
    return int(text)


def read_base64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        wrong(f"{what}: not base64")
    if base64.b64encode(data).decode() != text:
        wrong(f"{what}: not the one base64 of its bytes")
    return data


def read_hash(text: str, what: str) -> bytes:
    data = read_base64(text, what)
    if len(data) != 32:
        wrong(f"{what}: a hash of {len(data)} bytes")
    return data


def read_text(data: bytes, what: str) -> str:
    """UTF-8 without control characters other than LF."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        wrong(f"{what}: not UTF-8")
    if re.search("[\x00-\x09\x0b-\x1f]", text):
        wrong(f"{what}: with control characters")
    return text


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """One JSON object in which no name comes twice."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=wrong)
    except (ValueError, RecursionError):
        wrong(f"{what}: not JSON")
    if not isinstance(found, dict):
        wrong(f"{what}: not a JSON object")
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        wrong("a name comes twice in a JSON object")
    return found


def shown(text: object) -> str:
    """What others wrote, as it may be shown on a terminal."""
    return ascii(str(text)[:200])


# ---- Keys and signed notes: https://c2sp.org/signed-note ----

ED25519, COSIGNATURE = 1, 4


class Key(NamedTuple):
    """A public key: `name+<key id, 8 hex digits>+<base64 of algorithm || key>`.

    `ends`: of a key that was replaced, by stream, for how many records it had signed by then; None while in force.
    """

    name: str
    algorithm: int
    public: bytes
    ends: dict[str, int] | None = None

    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + bytes([10, self.algorithm]) + self.public).digest()[:4]

    def named(self, origin: str) -> Key:
        """The key as it signs for the log of this origin."""
        return self._replace(name=origin)

    def covers(self, origin: str) -> bool:
        """A node's key signs for the node's streams: `<name>/<stream>`."""
        return self.name in {origin, origin.rpartition("/")[0]}

    def lasts(self, origin: str, size: int) -> bool:
        """Whether the key was still in force when that log had so many records."""
        return self.ends is None or size <= self.ends.get(origin.rpartition("/")[2], 0)


def read_key(text: str) -> Key:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    data = read_base64(encoded, "public key")
    if len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
        wrong(f"public key {shown(name)}: not one of Ed25519")
    key = Key(check_name(name), data[0], data[1:])
    if key.key_id().hex() != key_id:
        wrong(f"public key {shown(name)}: its id is not that of its name and bytes")
    return key


def read_keys(data: bytes) -> list[Key]:
    return [read_key(line) for line in read_text(data, "public keys").split("\n") if line]


def check_name(name: str) -> str:
    if not name or "+" in name or any(char.isspace() for char in name):
        wrong(f"key name {shown(name)}: empty, or with a space or plus sign")
    return name


class Signature(NamedTuple):
    name: str
    key_id: bytes
    signature: bytes


def split_note(data: bytes) -> tuple[str, list[Signature]]:
    """Text and signature lines of a note; nothing is verified."""
    text, blank, tail = read_text(data, "note").rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        wrong("note: it does not end in an empty line and signature lines")
    found = []
    for line in tail[:-1].split("\n"):
        name, space, encoded = line[2:].partition(" ")
        if line[:2] != "\u2014 " or not space:
            wrong("note: a line among the signatures that is none")
        signature = read_base64(encoded, "note: signature")
        if len(signature) < 5:
            wrong("note: a signature that is too short")
        found.append(Signature(check_name(name), signature[:4], signature[4:]))
    if len(found) > 100:
        wrong("note: more than 100 signatures")
    return text + "\n", found


def signed_by(text: str, signature: Signature, key: Key) -> bool:
    """Whether the key made this signature line for the text. False too when the line is of another key."""
    if (signature.name, signature.key_id) != (key.name, key.key_id()):
        return False
    message, made = text.encode(), signature.signature
    if key.algorithm == COSIGNATURE:
        message = b"cosignature/v1\ntime %d\n" % int.from_bytes(made[:8], "big") + message
        made = made[8:]
    if not verify_ed25519(key.public, made, message):
        wrong(f"the signature of {shown(key.name)} does not hold")
    return True


class Checkpoint(NamedTuple):
    """The head of a tree: https://c2sp.org/tlog-checkpoint. `signer`: None when no key was there to check it."""

    origin: str
    size: int
    root: bytes
    text: str
    signatures: list[Signature]
    signer: Key | None


def read_checkpoint(note: bytes, keys: Sequence[Key]) -> Checkpoint:
    text, signatures = split_note(note)
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):
        wrong("checkpoint: not three or more lines with something in each")
    origin, size = lines[0], read_number(lines[1], "checkpoint size")
    root = read_hash(lines[2], "checkpoint root")
    mine = [key.named(origin) for key in keys if key.algorithm == ED25519 and key.covers(origin)]
    signers = [key for key in mine for one in signatures if signed_by(text, one, key)]
    if keys and not signers:
        wrong(f"the checkpoint of {shown(origin)} is not signed by the key that was to sign it")
    signers = [key for key in signers if key.lasts(origin, size)]
    if keys and not signers:
        wrong(f"the checkpoint of {shown(origin)} is signed by a key that had been replaced before")
    return Checkpoint(origin, size, root, text, signatures, signers[0] if signers else None)


class Rotation(NamedTuple):
    """One key handed over to the next, and both signed that."""

    old: Key
    new: Key


def read_rotation(line: bytes) -> Rotation:
    record = read_record(line)
    note = record.fields.get("note")
    if record.type != "audit.key_rotated" or not isinstance(note, str):
        wrong("not the record of a key's rotation")
    text, signatures = split_note(note.encode("utf-8", "replace"))
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or lines[0] != "authz-key-rotation/1":
        wrong("key rotation: not of the form authz-key-rotation/1")
    old, new = read_key(lines[1]), read_key(lines[2])
    if old.name != new.name or old == new or old.algorithm != ED25519 or new.algorithm != ED25519:
        wrong("key rotation: not two keys of one name")
    for key in (old, new):
        if not [one for one in signatures if signed_by(text, one, key)]:
            wrong("key rotation: not signed by both keys")
    ends = {}
    for tree in lines[3:]:
        stream, size, root = (*tree.split(" "), "", "")[:3]
        read_hash(root, "key rotation")
        ends[stream] = read_number(size, "key rotation")
    return Rotation(old._replace(ends=ends), new)


def after_rotations(keys: Sequence[Key], rotations: Sequence[Rotation]) -> list[Key]:
    """The keys, and those that they hand over to or were handed over from; each good for as long as it was in force."""
    known = {(key.name, key.public): key for key in keys}
    while True:
        count = len(known)
        for old, new in rotations:
            if {(old.name, old.public), (new.name, new.public)} & set(known):
                known.setdefault((new.name, new.public), new)
                known[old.name, old.public] = old
        if len(known) == count:
            return list(known.values())


# ---- The tree: RFC 6962 section 2.1 ----


def leaf_hash(line: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows to the right, by leaves or by whole perfect subtrees; of it only the right edge is kept."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """`hashes`: of the perfect subtrees that make up a tree of this size, left to right."""
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        if len(levels) != len(hashes):
            wrong(f"{len(hashes)} hashes for a tree of {size} leaves")
        self.size = size
        self._edge = list(zip(levels, hashes))

    def add(self, digest: bytes, level: int = 0) -> None:
        """The root of the next 2**level leaves."""
        if self.size % (1 << level):
            wrong(f"a subtree of level {level} cannot stand at leaf {self.size}")
        self.size += 1 << level
        while self._edge and self._edge[-1][0] == level:
            digest = node_hash(self._edge.pop()[1], digest)
            level += 1
        self._edge.append((level, digest))

    def root(self) -> bytes:
        if not self._edge:
            return hashlib.sha256(b"").digest()
        root = self._edge[-1][1]
        for _, left in reversed(self._edge[:-1]):
            root = node_hash(left, root)
        return root


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        wrong(f"a tree of {size} leaves has no leaf {index}")
    node, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            wrong("the inclusion proof is too long")
        if node & 1 or node == last:
            found = node_hash(one, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, one)
        node, last = node >> 1, last >> 1
    if last or found != root:
        wrong("the inclusion proof does not lead to the root that was signed")


# ---- One record and its proof: https://c2sp.org/tlog-proof ----


class Record(NamedTuple):
    """What every record starts with, and the record itself."""

    prev: str
    seq: int
    ts: str
    type: str
    fields: dict[str, Any]


def read_record(line: bytes) -> Record:
    fields = read_object(line, "record")
    prev, seq, ts, kind = (fields.get(name) for name in ("prev", "seq", "ts", "type"))
    if not (isinstance(prev, str) and isinstance(seq, int) and isinstance(ts, str) and isinstance(kind, str)):
        wrong("record: without prev, seq, ts and type")
    if line[:9] != b'{"prev":"' or line[9:73] != prev.encode("utf-8", "replace") or isinstance(seq, bool):
        wrong("record: it does not begin with prev")
    return Record(prev, seq, ts, kind, fields)


class Proven(NamedTuple):
    line: bytes
    record: Record
    checkpoint: Checkpoint


def check_proof(data: bytes, record: bytes | None, keys: Sequence[Key]) -> Proven:
    """Without `record` it is the one in the proof's `extra` line."""
    head, blank, note = data.partition(b"\n\n")
    lines = read_text(head, "proof").split("\n")
    if not blank or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        wrong("not a proof of the form c2sp.org/tlog-proof@v1")
    extra = read_base64(lines.pop(0)[6:], "extra") if lines and lines[0].startswith("extra ") else b""
    if not lines or not lines[0].startswith("index ") or len(lines) > 64:
        wrong("proof: no index, or too many hashes")
    index = read_number(lines.pop(0)[6:], "index")
    line = extra if record is None else record
    if not line:
        raise UnknownError("the proof comes without its record: give it with --record")
    if extra and line != extra:
        wrong("the record is not the one that came with the proof")
    checkpoint = read_checkpoint(note, keys)
    hashes = [read_hash(one, "hash") for one in lines]
    check_inclusion(index, checkpoint.size, leaf_hash(line), hashes, checkpoint.root)
    found = read_record(line)
    if found.seq != index + 1:
        wrong(f"the record says it is number {found.seq}, and it is number {index + 1}")
    return Proven(line, found, checkpoint)


# ---- A log with lines withheld ----


class Reading(NamedTuple):
    """What is in a redacted log. `roots`: at the sizes that were asked for. `first`, `last`: records shown."""

    size: int
    root: bytes
    roots: dict[int, bytes]
    shown: int
    first: int
    last: int
    revisions: frozenset[str]


_WITHHELD = re.compile(rb"(0|[1-9]|[1-5][0-9]|6[0-2]) ([0-9a-f]{64})")


def read_log(file: IO[bytes], sizes: Iterable[int] = ()) -> Reading:
    """Each row is a record, or `<level> <hash>` for 2**level records that are withheld: together the whole log."""
    tree, wanted, roots = Tree(), set(sizes), {}
    count, first, last, prev, revisions = 0, 0, 0, "", set()
    for row in rows_of(file):
        if row[:1] == b"{":
            record = read_record(row)
            if record.seq != tree.size + 1:
                wrong(f"record {record.seq} stands where record {tree.size + 1} belongs")
            if prev not in {"", record.prev}:
                wrong(f"record {record.seq} is not chained to the one before it")
            if isinstance(record.fields.get("revision"), str):
                revisions.add(record.fields["revision"])
            tree.add(leaf_hash(row))
            count, first, last = count + 1, first or record.seq, record.seq
            prev = hashlib.sha256(row).hexdigest()
        else:
            found = _WITHHELD.fullmatch(row)
            if found is None:
                wrong(f"after record {tree.size} stands neither a record nor a hash")
            tree.add(bytes.fromhex(found.group(2).decode()), int(found.group(1)))
            prev = ""
        if tree.size in wanted:
            roots[tree.size] = tree.root()
    return Reading(tree.size, tree.root(), roots, count, first, last, frozenset(revisions))


def read_small(file: IO[bytes], name: object) -> bytes:
    """A file that is not one of records, as a whole."""
    blocks, size = [], 0
    for block in iter(lambda: file.read(1 << 16), b""):
        blocks.append(block)
        size += len(block)
        if size > MAX_SMALL:
            wrong(f"{shown(name)} is too long")
    return b"".join(blocks)


def rows_of(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file without their LFs; each must have one."""
    while True:
        row = file.readline(MAX_LINE + 1)
        if not row:
            return
        if row[-1:] != b"\n":
            wrong("a line that is cut, or too long")
        yield row[:-1]


# ---- What is said in the end ----


PROVEN, OPEN, WRONG = "proven", "not proven", "WRONG"


class Report:
    """Sentences: what was proven, what was not, what is wrong."""

    def __init__(self) -> None:
        self.wrong = 0
        self.lines: list[tuple[str, str]] = []

    def proven(self, sentence: str) -> None:
        self.lines.append((PROVEN, sentence))

    def open(self, sentence: str) -> None:
        self.lines.append((OPEN, sentence))

    def fault(self, sentence: str) -> None:
        self.wrong += 1
        self.lines.append((WRONG, sentence))

    def tell(self) -> int:
        for kind, sentence in self.lines:
            sys.stdout.write(f"{kind + ':':11} {sentence}\n")
        verdict = "nothing is wrong" if not self.wrong else f"{self.wrong} things are WRONG"
        sys.stdout.write(verdict + "\n")
        return 1 if self.wrong else 0


@contextmanager
def attempt(report: Report, what: str) -> Iterator[None]:
    """What goes wrong in here is a fault of `what`; the rest is checked all the same."""
    try:
        yield
    except FAULTS as error:
        report.fault(f"{shown(what)}: {error}")


def tell_key(report: Report, keys: Sequence[Key], given: Sequence[Key]) -> None:
    if not keys:
        report.open("who signed: there is no public key to check the signatures with")
    elif given:
        report.proven(f"the checkpoints are signed by the key that you gave: {_names(given)}")
    else:
        report.open(
            f"who signed: the key {_names(keys)} comes with the evidence itself; compare it with the node's own"
        )
    if given and len(keys) > len(given):
        report.proven(f"or by one that the keys themselves handed over to, or were handed over from: {_names(keys)}")


def _names(keys: Sequence[Key]) -> str:
    return ", ".join(f"{shown(key.name)} (id {key.key_id().hex()})" for key in keys)


def tell_witnesses(report: Report, checkpoint: Checkpoint, witnesses: Sequence[Key]) -> None:
    """When each witness saw the checkpoint. Who asks for a witness wants to know that it did."""
    for witness in witnesses:
        seen = [one.signature for one in checkpoint.signatures if signed_by(checkpoint.text, one, witness)]
        if seen:
            seconds = min(int.from_bytes(seen[0][:8], "big"), LATEST)
            when = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            report.proven(f"the witness {shown(witness.name)} saw the checkpoint at {when}")
        else:
            report.fault(f"the witness {shown(witness.name)} did not sign the checkpoint")


# ---- An evidence package ----


class Package:
    """The files of a package, in a zip or in a directory."""

    def __init__(self, path: Path) -> None:
        self._zip: zipfile.ZipFile | None = None
        self._directory = path
        try:
            if path.is_dir():
                found = (each for each in path.rglob("*") if not each.is_dir())
                self.names = sorted(each.relative_to(path).as_posix() for each in found)
                return
            self._zip = zipfile.ZipFile(path)
        except FAULTS as error:
            raise UnknownError(f"{shown(path)} cannot be read: {error}") from None
        self.names = self._zip.namelist()
        if len(set(self.names)) != len(self.names):
            wrong("the zip holds a name twice")

    def open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            wrong(f"{shown(name)} is missing")
        if self._zip is not None:
            return self._zip.open(name)
        return (self._directory / name).open("rb")

    def read(self, name: str) -> bytes:
        """A small file. The zip's own checksum stands against nobody; the manifest is checked later."""
        with self.open(name) as file:
            return read_small(file, name)

    def sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        with self.open(name) as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()


class Member(NamedTuple):
    """One stream as the manifest states it."""

    stream: str
    shown: int
    first: int
    last: int


class Manifest(NamedTuple):
    streams: list[Member]
    files: dict[str, str]
    policies: dict[str, str | None]
    node: bool
    uncovered: int
    digest: str


def read_manifest(data: bytes) -> Manifest:
    found = read_object(data, "manifest.json")
    try:
        if found["format"] != "authz-evidence/1":
            raise UnknownError(f"the package has the format {shown(found['format'])}, which this program does not know")
        streams = [Member(str(each["stream"]), each["shown"], each["first"], each["last"]) for each in found["streams"]]
        policies = {each["revision"]: each["file"] for each in found["policies"]}
        return Manifest(
            streams, dict(found["files"]), policies, found["node"], found["uncovered"], hashlib.sha256(data).hexdigest()
        )
    except (KeyError, TypeError, ValueError):
        wrong("manifest.json does not say what it has to")


def check_package(path: Path, given: Sequence[Key], witnesses: Sequence[Key]) -> Report:
    report = Report()
    package = Package(path)
    manifest = read_manifest(package.read("manifest.json"))
    for name, digest in sorted(manifest.files.items()):
        with attempt(report, name):
            if package.sha256(name) != digest:
                wrong("it was changed: its SHA-256 is not the one in manifest.json")
    for name in sorted(set(package.names) - set(manifest.files) - {"manifest.json"}):
        report.open(f"{shown(name)}: manifest.json does not know it, and nothing here says anything about it")
    try:
        keys = list(given) or (read_keys(package.read("public-keys")) if "public-keys" in manifest.files else [])
        if "key-rotations" in manifest.files:
            with package.open("key-rotations") as file:
                keys = after_rotations(keys, [read_rotation(row) for row in rows_of(file)])
        rolled_up = _check_node(package, manifest, keys, witnesses, report)
        named: set[str] = set()
        for member in manifest.streams:
            with attempt(report, member.stream):
                named |= _check_stream(package, member, keys, rolled_up, report)
        _check_policies(package, manifest, named, report)
    except FAULTS as error:
        report.fault(str(error))
    else:
        tell_key(report, keys, given)
    if manifest.uncovered:
        report.open(f"{manifest.uncovered} matching events were newer than the checkpoints and are left out")
    report.open("that these are all events that match: a package shows what is in it, not what else there is")
    report.lines.insert(0, ("package", f"sha256 of manifest.json {manifest.digest}"))
    return report


def _check_node(
    package: Package, manifest: Manifest, keys: Sequence[Key], witnesses: Sequence[Key], report: Report
) -> dict[str, tuple[int, bytes]]:
    """Size and root of each stream, by origin, as the node's own log states them."""
    if not manifest.node:
        if witnesses:
            wrong("the package comes without the node's roll-up: no witness can be asked")
        report.open("what the node's own log says: the package comes without its roll-up")
        return {}
    proven = check_proof(package.read("node.tlog-proof"), None, keys)
    rolled_up = read_rollup(proven.record)
    report.proven(
        f"the node's checkpoint {shown(proven.checkpoint.origin)} of {proven.checkpoint.size} records covers the "
        f"roll-up of {proven.record.ts}"
    )
    tell_witnesses(report, proven.checkpoint, witnesses)
    return rolled_up


def read_rollup(record: Record) -> dict[str, tuple[int, bytes]]:
    if record.type != "audit.rollup":
        wrong("the node's record is no roll-up")
    try:
        return {
            each["origin"]: (read_number(str(each["size"]), "size"), read_hash(each["root"], "root"))
            for each in record.fields["streams"]
        }
    except (KeyError, TypeError):
        wrong("the node's roll-up does not say what it has to")


def _check_stream(
    package: Package, member: Member, keys: Sequence[Key], rolled_up: dict[str, tuple[int, bytes]], report: Report
) -> frozenset[str]:
    """Says what is proven of the stream. Returns the policy revisions that the records name."""
    if STREAM.fullmatch(member.stream) is None:
        wrong("no name of a stream")
    checkpoint = read_checkpoint(package.read(f"streams/{member.stream}/checkpoint"), keys)
    if checkpoint.origin.rpartition("/")[2] != member.stream:
        wrong(f"the checkpoint is of {shown(checkpoint.origin)}")
    size, root = rolled_up.get(checkpoint.origin, (0, b""))
    with package.open(f"streams/{member.stream}/log") as file:
        found = read_log(file, [size])
    if (found.size, found.root) != (checkpoint.size, checkpoint.root):
        wrong(f"its {found.size} records are not the {checkpoint.size} that the checkpoint was signed for")
    if (found.shown, found.first, found.last) != member[1:]:
        wrong("manifest.json states other records than are shown")
    withheld = found.last - found.first + 1 - found.shown
    report.proven(
        f"{shown(member.stream)}: {found.shown} records, from {found.first} to {found.last} with {withheld} withheld "
        f"between them, stand in the log of {checkpoint.size} records under the checkpoint of "
        f"{shown(checkpoint.origin)}"
    )
    if size and found.roots.get(size) != root:
        wrong("the node's roll-up states another tree for it")
    if size >= found.last:
        report.proven(f"{shown(member.stream)}: the node's roll-up covers all of them")
    elif size:
        report.open(f"{shown(member.stream)}: the node's roll-up covers them up to record {size} only")
    elif rolled_up:
        report.open(f"{shown(member.stream)}: the node's roll-up does not know the stream")
    return found.revisions


def _check_policies(package: Package, manifest: Manifest, named: set[str], report: Report) -> None:
    if named != set(manifest.policies):
        report.fault("manifest.json states other policies than the records name")
    for revision, name in sorted(manifest.policies.items()):
        if name is None:
            report.open(f"the policy {shown(revision)}: its bundle was not kept")
        elif bundle_revision(package.read(name)) != revision:
            report.fault(f"{shown(name)} is not the policy {shown(revision)}")
        else:
            report.open(f"that {shown(name)} decided: it calls itself {shown(revision)}, and nothing signed names it")


def bundle_revision(data: bytes) -> object:
    """What a policy bundle calls itself."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            for member in tar:
                if member.name.lstrip("/") == ".manifest" and member.isfile() and member.size < MAX_SMALL:
                    content = tar.extractfile(member)
                    return None if content is None else read_object(content.read(), "bundle").get("revision")
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError):
        return None
    return None


# ---- A whole ledger, from its segments ----

COMMANDS = re.compile(r"cli(?:\.([1-9][0-9]{0,5}))?")
"""The streams of commands: they say what was pruned."""

NODE = re.compile(r"auditor(?:\.([1-9][0-9]{0,5}))?")
"""The node's own streams, each after the one before: they say which streams there are, and how far each was signed."""


class Opening(NamedTuple):
    """The first record of a segment: what it says of the one before it."""

    seq: int
    reason: str
    previous: str | None
    previous_bytes: int


class Cut(NamedTuple):
    """A prune record: the records up to number `size` may be gone."""

    size: int
    hashes: list[bytes]
    chain_hash: str


class Head(NamedTuple):
    """A tree that somebody states."""

    what: str
    size: int
    root: bytes


class Stream:
    """One stream of a ledger: a directory of segments."""

    def __init__(self, directory: Path) -> None:
        self.name = directory.name
        found = (SEALED.fullmatch(path.name) for path in directory.iterdir())
        self.segments = sorted({name.group(1) for name in found if name is not None})
        self._directory = directory

    def open(self, segment: str) -> IO[bytes]:
        path = self._directory / segment
        if path.exists():
            return path.open("rb")
        program = shutil.which("zstd")
        if program is None:
            raise UnknownError(f"{shown(segment)} is compressed: put `zstd` on the PATH, or unpack it with `zstd -d`")
        command = [program, "-dcq", str(path.with_name(segment + ".zst"))]
        unpacked = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - no shell, a listed name
        if unpacked.returncode:
            wrong(f"{shown(segment)}: the compressed file is damaged")
        return io.BytesIO(unpacked.stdout)

    def openings(self) -> list[tuple[str, Opening]]:
        """What each segment says of itself. The last one may have no complete first line: then it is left out."""
        found = []
        for segment in self.segments:
            opening = self._opening(segment)
            if opening is not None:
                found.append((segment, opening))
            elif segment != self.segments[-1]:
                wrong(f"{shown(segment)} has no complete first record")
        return found

    def _opening(self, segment: str) -> Opening | None:
        with self.open(segment) as file:
            line = file.readline(MAX_LINE + 1)
        if line[-1:] != b"\n" and len(line) <= MAX_LINE:
            return None
        record = read_record(line[:-1])
        stated = [record.fields.get(name) for name in ("format", "stream", "previous_bytes")]
        if record.type != "audit.segment_open" or stated[:2] != ["authz-ledger/1", self.name]:
            wrong(f"{shown(segment)} does not begin as a segment of this stream")
        if record.seq != int(segment[:12]) or not isinstance(stated[2], int):
            wrong(f"{shown(segment)} does not begin with the record that its name says")
        return Opening(record.seq, str(record.fields.get("reason")), record.fields.get("previous_segment"), stated[2])

    def cut(self, cuts: Sequence[Cut]) -> Cut | None:
        """Where the stream begins: after the last segment that is missing and may be, else at its first record."""
        cut, before = None, None
        for segment, opening in self.openings():
            if opening.previous != before:
                fitting = [each for each in cuts if each.size >= opening.seq - 1]
                if not fitting:
                    wrong(f"the segment before {shown(segment)} is missing, and nothing says that it was pruned")
                cut = min(fitting, key=lambda each: each.size)
            before = segment
        return cut

    def records(self, first: int = 1) -> Iterator[bytes]:
        """Every record that counts, oldest first, from the segment on that begins with record `first`."""
        openings = [each for each in self.openings() if each[1].seq >= first]
        for (segment, _), after in zip(openings, [*(opening for _, opening in openings[1:]), None]):
            yield from self._counted(segment, after)

    def _counted(self, segment: str, after: Opening | None) -> Iterator[bytes]:
        rest = MAX_SIZE if after is None else after.previous_bytes
        line = b""
        with self.open(segment) as file:
            while rest:
                line = file.readline(min(rest, MAX_LINE + 1))
                if line[-1:] != b"\n":
                    break
                rest -= len(line)
                yield line[:-1]
            if after is not None and rest:
                wrong(f"{shown(segment)} is cut, or what counts of it ends inside a record")
            if after is not None and after.reason != "recover" and file.read(1):
                wrong(f"{shown(segment)} has grown after its end")
            if after is None and len(line) > MAX_LINE:
                wrong(f"{shown(segment)}: a line that is too long")


def in_turn(names: Iterable[str], form: re.Pattern[str]) -> list[str]:
    """Of these streams, those that go on after one another, the first one first."""
    found = ((form.fullmatch(name), name) for name in names)
    return [name for _, name in sorted((int(match.group(1) or 0), name) for match, name in found if match is not None)]


class Statements:
    """What the ledger says of itself: how far it was signed, and what was pruned. As records they are checked later.

    Of each stream the largest roll-up counts: the newest may be one that somebody added after the checkpoint.
    """

    def __init__(self) -> None:
        self.rolled_up: dict[str, tuple[int, bytes]] = {}
        self.cuts: dict[str, list[Cut]] = {}
        self.rotations: list[Rotation] = []

    def read(self, streams: dict[str, Stream]) -> None:
        for name in in_turn(streams, COMMANDS):
            self._read_cuts(streams[name])
        for name in in_turn(streams, NODE):
            self._read_node(streams[name])

    def _read_cuts(self, stream: Stream) -> None:
        for line in stream.records():
            if b'"type":"audit.prune"' in line[:512]:
                fields = read_record(line).fields
                try:
                    hashes = [read_hash(one, "prune record") for one in fields["hashes"]]
                    cut = Cut(read_number(str(fields["minimum_index"]), "index"), hashes, str(fields["chain_hash"]))
                    self.cuts.setdefault(str(fields["stream"]), []).append(cut)
                except (KeyError, TypeError, AttributeError):
                    wrong(f"{shown(stream.name)}: a prune record that does not say what it has to")

    def _read_node(self, stream: Stream) -> None:
        stated: dict[str, tuple[int, bytes]] = {}
        for line in stream.records():
            if b'"type":"audit.rollup"' in line[:512]:
                record = read_record(line)
                for origin, head in read_rollup(record).items():
                    self._hear(origin.rpartition("/")[2], head, stated, record.seq)
            if b'"type":"audit.key_rotated"' in line[:512]:
                self.rotations.append(read_rotation(line))

    def _hear(self, name: str, head: tuple[int, bytes], stated: dict[str, tuple[int, bytes]], seq: int) -> None:
        """`stated`: what this stream of the node said of each before."""
        before, largest = stated.get(name, head), self.rolled_up.get(name, head)
        if head[0] < before[0] or any(head[0] == each[0] and head[1] != each[1] for each in (before, largest)):
            wrong(f"the roll-up in record {seq} states another tree of {shown(name)} than one before it")
        stated[name] = head
        if head[0] >= largest[0]:
            self.rolled_up[name] = head


class Ledger:
    """The files of a ledger: `path` is a state directory, or its audit directory."""

    def __init__(self, path: Path) -> None:
        self.audit = path / "audit" if (path / "audit").is_dir() else path
        try:
            self.streams = {each.name: Stream(each) for each in sorted(self.audit.iterdir()) if is_stream(each)}
            tiles = self.audit / "tiles"
            published = sorted(each.name for each in tiles.iterdir()) if tiles.is_dir() else []
            self.notes = {name: _file_if_any(tiles / name / "checkpoint") for name in [*published, *self.streams]}
            self.own_keys = read_keys(_file_if_any(self.audit.absolute().parent / "keys" / "audit.pub"))
        except OSError as error:
            raise UnknownError(f"{shown(path)} cannot be read: {error}") from None
        if not self.streams:
            raise UnknownError(f"{shown(path)}: there is no ledger in it")


def is_stream(path: Path) -> bool:
    return path.name != "tiles" and path.is_dir() and any(SEALED.fullmatch(each.name) for each in path.iterdir())


def check_ledger(path: Path, given: Sequence[Key], witnesses: Sequence[Key], kept: Sequence[bytes] = ()) -> Report:
    report = Report()
    ledger = Ledger(path)
    keys = list(given) or ledger.own_keys
    statements = Statements()
    with attempt(report, "what the ledger says of itself"):
        statements.read(ledger.streams)
    rolled_up = statements.rolled_up
    keys = after_rotations(keys, statements.rotations)
    elsewhere = _elsewhere(kept, keys)
    for name, stream in ledger.streams.items():
        with attempt(report, name):
            heads = [*_heads(ledger.notes[name], rolled_up.get(name), keys), *elsewhere.get(name, ())]
            cut = stream.cut(statements.cuts.get(name, []))
            _check_whole(stream, heads, cut, report)
    for name in sorted({*rolled_up, *elsewhere, *(each for each, note in ledger.notes.items() if note)}):
        if name not in ledger.streams:
            report.fault(f"{shown(name)}: the stream is missing, and it was signed")
        elif not ledger.notes[name]:
            report.fault(f"{shown(name)}: its checkpoint is missing, and it was signed")
    node = [ledger.notes[name] for name in in_turn(ledger.streams, NODE) if ledger.notes[name]]
    if given and not node:
        report.fault("there is no checkpoint of the node itself, and with a key that was given there has to be")
    tell_key(report, keys, given)
    if witnesses:
        tell_witnesses(report, read_checkpoint(node[-1] if node else b"", keys), witnesses)
    return report


def _elsewhere(notes: Sequence[bytes], keys: Sequence[Key]) -> dict[str, list[Head]]:
    """Checkpoints that were kept where nobody who writes to the ledger could change them, by stream."""
    found: dict[str, list[Head]] = {}
    for note in notes:
        checkpoint = read_checkpoint(note, keys)
        head = Head("the checkpoint that you kept", checkpoint.size, checkpoint.root)
        found.setdefault(checkpoint.origin.rpartition("/")[2], []).append(head)
    return found


def _heads(note: bytes, rolled_up: tuple[int, bytes] | None, keys: Sequence[Key]) -> list[Head]:
    heads = []
    if note:
        checkpoint = read_checkpoint(note, keys)
        heads.append(Head("the checkpoint", checkpoint.size, checkpoint.root))
    if rolled_up is not None:
        heads.append(Head("the node's roll-up", *rolled_up))
    return heads


def _check_whole(stream: Stream, heads: Sequence[Head], cut: Cut | None, report: Report) -> None:
    roots = dict.fromkeys((head.size for head in heads), b"")
    first = 1 if cut is None else cut.size + 1
    last = _read_whole(stream, cut, roots)
    pruned = f", after {cut.size} that were pruned" if cut is not None else ""
    report.proven(f"{shown(stream.name)}: {last - first + 1} records{pruned}, each chained to the one before it")
    for head in heads:
        if head.size > last:
            wrong(f"{head.what} was signed for {head.size} records, and there are {last}: the end is missing")
        if roots[head.size] == b"":
            report.open(f"{shown(stream.name)}: {head.what}, of {head.size} records, ends in what was pruned")
        elif roots[head.size] != head.root:
            wrong(f"the first {head.size} records are not those that {head.what} was signed for")
        else:
            report.proven(f"{shown(stream.name)}: the first {head.size} records are those of {head.what}")
    covered = max((head.size for head in heads), default=0)
    if last > covered:
        report.open(f"{shown(stream.name)}: nothing signed covers the records after {covered}")


def _read_whole(stream: Stream, cut: Cut | None, roots: dict[int, bytes]) -> int:
    """Check every record against the one before it, fill in the roots of the tree, and return the last number."""
    tree = Tree() if cut is None else Tree(cut.size, cut.hashes)
    seq, prev, ts = tree.size, "0" * 64 if cut is None else cut.chain_hash, ""
    if seq in roots:
        roots[seq] = tree.root()
    for line in stream.records(seq + 1):
        record = read_record(line)
        if record.seq != seq + 1 or record.prev != prev or record.ts <= ts or len(line) > MAX_RECORD:
            wrong(f"what stands after record {seq} does not follow it by number, hash and time")
        seq, prev, ts = record.seq, hashlib.sha256(line).hexdigest(), record.ts
        tree.add(leaf_hash(line))
        if seq in roots:
            roots[seq] = tree.root()
    return seq


# ---- The program ----


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="verify.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", nargs="?", type=Path, help="zip or directory; by default the directory of this file")
    parser.add_argument("--proof", metavar="FILE", type=Path)
    parser.add_argument("--record", metavar="FILE", type=Path)
    parser.add_argument("--ledger", metavar="DIR", type=Path)
    parser.add_argument("--since", metavar="FILE", type=Path, action="append", default=[])
    parser.add_argument("--public-key", metavar="KEY", action="append", default=[])
    parser.add_argument("--witness", metavar="KEY", action="append", default=[])
    asked = parser.parse_args(arguments)
    try:
        return _answer(asked).tell()
    except WrongError as error:
        sys.stdout.write(f"WRONG:      {error}\n")
        return 1
    except (UnknownError, *FAULTS) as error:
        sys.stdout.write(f"could not find out: {error}\n")
        return 3


def _answer(asked: argparse.Namespace) -> Report:
    keys, witnesses = _given(asked.public_key, ED25519), _given(asked.witness, COSIGNATURE)
    if asked.ledger is not None:
        return check_ledger(asked.ledger, keys, witnesses, [_file(path) for path in asked.since])
    if asked.proof is None:
        return check_package(asked.package or Path(__file__).absolute().parent, keys, witnesses)
    report = Report()
    record = None if asked.record is None else _file(asked.record)
    proven = check_proof(_file(asked.proof), record, keys)
    report.proven(
        f"record {proven.record.seq} stands in the log of {proven.checkpoint.size} records under the checkpoint of "
        f"{shown(proven.checkpoint.origin)}"
    )
    tell_key(report, keys, keys)
    tell_witnesses(report, proven.checkpoint, witnesses)
    report.lines.append(("record", shown_record(proven.line)))
    return report


def shown_record(line: bytes) -> str:
    """The record in ASCII; what cannot be shown so is escaped."""
    return line.decode("utf-8").encode("ascii", "backslashreplace").decode()


def _file(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_small(file, path)


def _file_if_any(path: Path) -> bytes:
    return _file(path) if path.exists() else b""


def _given(sources: Sequence[str], algorithm: int) -> list[Key]:
    """Keys from the command line: each is one, or a file of some."""
    keys: list[Key] = []
    for source in sources:
        keys += read_keys(_file(Path(source))) if Path(source).exists() else [read_key(source)]
    if any(key.algorithm != algorithm for key in keys):
        raise UnknownError("a key was given that cannot be for this: a witness's for a node's, or the other way round")
    return keys


if __name__ == "__main__":
    sys.exit(main())
