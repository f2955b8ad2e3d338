"""Go's sumdb/tlog and sumdb/note, which know nothing of us, accept what this room makes and refuse what was changed.

AUTHZ_TEST_PAIRS=all tries every leaf and every older tree of every size; by default a few of each size.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz.tlog import (
    TiledTree,
    TileReader,
    TlogError,
    add_signatures,
    consistency_proof,
    entries_path,
    entry_bundle,
    inclusion_proof,
    open_note,
    signature_line,
    tile_path,
)
from tests.tlog import test_note
from tests.tlog.conftest import Oracle, base64_of
from tests.tlog.notes import COSIGNED, LOG, LOG_LINE, LOG_PRIVATE, LOG_VKEY, NOTE, TEXT, WITNESS_LINE
from tests.tlog.test_proofs import flipped, spoilt_proofs
from tests.tlog.trees import hashes, line, root

pytestmark = pytest.mark.slow

ALL = os.environ.get("AUTHZ_TEST_PAIRS") == "all"
SMALL = range(1, 301)
LARGE = 70_000


def picked(size: int, *, first: int) -> list[int]:
    """Which leaves or older trees of a tree of this size to try: its ends, around its largest power of two, others."""
    if ALL and size in SMALL:
        return list(range(first, size + first))
    middle = 1 << size.bit_length() - 1
    chance = random.Random(size)
    some = {first, size - 1, size - 1 + first, middle - 1, middle, *(chance.randrange(size) for _ in range(4))}
    return sorted(one for one in some if first <= one < size + first)


class Log:
    """A log's directory, as it is published: tiles, and bundles of its entries."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tree = TiledTree()

    def grow(self, size: int) -> None:
        """Add lines up to `size`; all older tiles stay."""
        since = self._tree.size
        for tile, content in self._tree.extend(hashes(LARGE)[since:size]).items():
            self._write(str(tile), content)
        for start in range(since - since % 256, size, 256):
            end = min(start + 256, size)
            self._write(entries_path(start // 256, end - start), entry_bundle([line(n) for n in range(start, end)]))

    def fetch(self, path: str) -> bytes:
        """For a TileReader."""
        return (self.directory / path).read_bytes()

    def question(self, op: str, size: int, **more: Any) -> dict[str, Any]:
        """About the tree of this size."""
        return {"op": op, "dir": str(self.directory), "size": size, "root": root(size), **more}

    def _write(self, path: str, content: bytes) -> None:
        place = self.directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Grown leaf by leaf to 300, then at once to 70,000."""
    log = Log(tmp_path_factory.mktemp("log"))
    for size in (*SMALL, LARGE):
        log.grow(size)
    return log


def test_go_reads_our_tiles(oracle: Oracle, log: Log) -> None:
    """Every leaf hash of every size through TileHashReader, which checks each tile; every entry of every bundle."""
    questions = [log.question("read", size) for size in (*SMALL, LARGE)]
    assert oracle.errors(questions) == [""] * 301


def test_go_refuses_changed_tiles(oracle: Oracle, tmp_path: Path) -> None:
    """The same reading finds a bit turned in a tile of each level and in a bundle, and another root."""
    log = Log(tmp_path)
    log.grow(600)
    whole = log.question("read", 600)
    found = oracle.errors([whole, whole | {"root": flipped(whole["root"])}])
    for path in (tile_path(0, 1), tile_path(0, 2, 88), tile_path(1, 0, 2), entries_path(0), entries_path(2, 88)):
        kept = log.fetch(path)
        (tmp_path / path).write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        found += oracle.errors([whole])
        (tmp_path / path).write_bytes(kept)
    assert found[0] == ""
    assert ["downloaded inconsistent tile" in error for error in found] == [False, *[True] * 4, False, False]
    assert found[-2:] == ["entry 255 is not that of its tile", "entry 599 is not that of its tile"]


def inclusions(log: Log) -> Iterator[dict[str, Any]]:
    """Our proofs of leaves."""
    for size in (*SMALL, LARGE):
        reader = TileReader(log.fetch, size)
        for index in picked(size, first=0):
            proof = inclusion_proof(index, size, reader)
            yield log.question("check_inclusion", size, index=index, leaf=hashes(LARGE)[index], proof=proof)


def consistencies(log: Log) -> Iterator[dict[str, Any]]:
    """Our proofs of older trees."""
    for size in (*SMALL, LARGE):
        reader = TileReader(log.fetch, size)
        for old in picked(size, first=1):
            proof = consistency_proof(old, size, reader)
            yield log.question("check_consistency", size, old=old, oldroot=root(old), proof=proof)


def test_go_makes_and_accepts_the_same_inclusion_proofs(oracle: Oracle, log: Log) -> None:
    """CheckRecord accepts ours, and ProveRecord makes the same from our tiles."""
    questions = list(inclusions(log))
    assert oracle.errors(questions) == [""] * len(questions)
    made = oracle.proofs([one | {"op": "prove_inclusion"} for one in questions])
    assert made == [base64_of(one["proof"]) for one in questions]


def test_go_makes_and_accepts_the_same_consistency_proofs(oracle: Oracle, log: Log) -> None:
    """CheckTree accepts ours, and ProveTree makes the same from our tiles."""
    questions = list(consistencies(log))
    assert oracle.errors(questions) == [""] * len(questions)
    made = oracle.proofs([one | {"op": "prove_consistency"} for one in questions])
    assert made == [base64_of(one["proof"]) for one in questions]


def test_go_refuses_spoilt_proofs(oracle: Oracle, log: Log) -> None:
    """The answers above are no formality: hashes changed, missing, doubled, swapped or added, and another root."""
    chance = random.Random(1)
    spoilt = []
    for question in (*inclusions(log), *consistencies(log)):
        spoilt.append(question | {"root": flipped(question["root"])})
        ways = [one for one in spoilt_proofs(question["proof"]) if all(len(each) == 32 for each in one)]
        spoilt.append(question | {"proof": chance.choice(ways)})
    assert [one for one, error in zip(spoilt, oracle.errors(spoilt), strict=True) if not error] == []


def test_go_opens_our_notes(oracle: Oracle) -> None:
    """With our vkey; a witness's line, which it does not know, stays unverified."""
    plain, cosigned = oracle.ask([{"op": "open", "note": one, "keys": [LOG_VKEY]} for one in (NOTE, COSIGNED)])
    assert (plain.error, plain.text, plain.verified, plain.unverified) == ("", TEXT, [LOG_LINE], None)
    assert (cosigned.error, cosigned.verified, cosigned.unverified) == ("", [LOG_LINE], [WITNESS_LINE])


def test_go_signs_as_we_do(oracle: Oracle) -> None:
    """From our private key's text, byte by byte; also with two keys."""
    second = LOG.named("журнал.example")
    one, two = oracle.ask(
        [{"op": "sign", "text": TEXT, "keys": keys} for keys in ([LOG_PRIVATE], [LOG_PRIVATE, second.private_text()])]
    )
    assert (one.error, one.note.encode()) == ("", NOTE)
    assert (two.error, two.note.encode()) == ("", add_signatures(NOTE, [second.signature_line(TEXT)]))


def test_go_refuses_changed_checkpoints(oracle: Oracle) -> None:
    """Any bit of the text turned."""
    spoilt = [NOTE[:at] + bytes([NOTE[at] ^ 1 << bit]) + NOTE[at + 1 :] for at in range(len(TEXT)) for bit in range(7)]
    errors = oracle.errors([{"op": "open", "note": one, "keys": [LOG_VKEY]} for one in spoilt])
    assert "" not in errors


KINDER = {"stray bits", "a bad line behind a good one"}
"""What Go lets pass as a note and we do not."""


def test_what_we_open_go_opens(oracle: Oracle) -> None:
    """Of the oddest notes, Go opens those that we open, to the same text, and but for KINDER no others."""
    odd = {**test_note.MALFORMED, "unknown lines": test_note.bare(WITNESS_LINE, LOG_LINE)}
    odd["a bad line behind a good one"] = test_note.bare(LOG_LINE, signature_line(LOG.name, LOG.key_id, bytes(64)))
    odd |= {"empty lines": LOG.sign("\n\na\n\n"), "a note in a note": LOG.sign(NOTE.decode())}
    answers = oracle.ask([{"op": "open", "note": note, "keys": [LOG_VKEY]} for note in odd.values()])
    go = {what: answer.text for what, answer in zip(odd, answers, strict=True) if not answer.error}
    ours = {}
    for what, note in odd.items():
        try:
            ours[what] = open_note(note, [LOG.verifier]).text
        except TlogError:
            continue
    assert {what: text for what, text in go.items() if what not in KINDER} == ours
    assert set(go) - set(ours) == KINDER
