"""docs/ledger-format.md: its example and its vectors are checked, byte by byte, by both verifiers."""

import io
import re
import shutil
from pathlib import Path

import pytest

from authz.audit import verify
from authz.audit.evidence import verify as verify_py
from authz.audit.evidence.checking import check_proof
from authz.tlog import VerifierKey, leaf_hash, verify_consistency, verify_inclusion
from tests.conftest import ROOT

from .packages import audit, run_verifier

PAGE = (ROOT / "docs" / "ledger-format.md").read_text()
BLOCKS = dict(re.findall(r"<!-- file: (\S+) -->\n```\n(.*?)```\n", PAGE, re.DOTALL))
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ["", *re.findall(r"`([0-9a-f]+)`[,.]", PAGE.split("Leaves (hex)")[1].split("Roots")[0])]
]


def _table(name: str) -> list[list[str]]:
    found = re.search(rf"<!-- {name} -->\n```\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return [line.split() for line in found[1].splitlines()]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The page's files, laid out as it says."""
    for name, content in BLOCKS.items():
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "state"


def test_the_page_has_the_files_it_speaks_of() -> None:
    """Nothing is left out by a slip of the fence."""
    assert sorted(BLOCKS) == [
        "audit/auditor/000000000001.jsonl",
        "audit/main/000000000001.jsonl",
        "audit/main/000000000004.jsonl",
        "audit/tiles/auditor/checkpoint",
        "audit/tiles/main/checkpoint",
        "keys/audit.pub",
        "main-2.tlog-proof",
        "streams/main/log",
        "vectors/checkpoint",
        "vectors/keys",
    ]


def test_the_example_is_a_sound_ledger(state: Path) -> None:
    """For both verifiers, with the page's key and the page's witness."""
    key, witness = state / "keys" / "audit.pub", BLOCKS["vectors/keys"].splitlines()[1]
    assert audit("verify", "--no-remember", "--public-key", key, state).exit_code == 0
    report = {each.stream: (each.records, each.covered_seq) for each in verify(state, public_keys=[key]).streams}
    assert report == {"auditor": (2, 2), "main": (5, 5)}
    code, said = run_verifier("--ledger", state, "--public-key", key, "--witness", witness)
    assert (code, [line for line in said.splitlines() if not line.startswith("proven")]) == (0, ["nothing is wrong"])


@pytest.mark.parametrize("name", [name for name in BLOCKS if name.startswith("audit/")])
def test_a_slip_in_the_example_is_found(state: Path, name: str) -> None:
    """So that the page cannot be edited into something else unnoticed."""
    path = state / name
    path.write_text(path.read_text().replace("main", "nain").replace("auditor", "auditos"))
    key = state / "keys" / "audit.pub"
    assert audit("verify", "--no-remember", "--public-key", key, state).exit_code == 1
    assert run_verifier("--ledger", state, "--public-key", key)[0] == 1


def test_the_example_s_proof_holds(state: Path) -> None:
    """And it is of the record that stands in the example's segment."""
    line = BLOCKS["audit/main/000000000001.jsonl"].encode().splitlines()[1]
    found = check_proof(
        (state / "main-2.tlog-proof").read_bytes(), line, [VerifierKey.read(BLOCKS["keys/audit.pub"].strip())]
    )
    assert (found.header.id, found.checkpoint.size) == ("d1", 5)
    code, said = run_verifier("--proof", state / "main-2.tlog-proof", "--public-key", state / "keys" / "audit.pub")
    assert (code, line.decode() in said) == (0, True)


def test_the_example_s_log_is_the_example_s_stream() -> None:
    """Three of its five rows are hashes of records that the page shows elsewhere."""
    lines = b"".join(
        BLOCKS[f"audit/main/{name}.jsonl"].encode() for name in ("000000000001", "000000000004")
    ).splitlines()
    found = verify_py.read_log(io.BytesIO(BLOCKS["streams/main/log"].encode()))
    checkpoint = verify_py.read_checkpoint(
        BLOCKS["audit/tiles/main/checkpoint"].encode(), verify_py.read_keys(BLOCKS["keys/audit.pub"].encode())
    )
    assert (found.size, found.root, found.shown) == (checkpoint.size, checkpoint.root, 2)
    rows = BLOCKS["streams/main/log"].encode().splitlines()
    assert [row for row in rows if row.startswith(b"{")] == [lines[1], lines[4]]
    assert [row for row in rows if not row.startswith(b"{")] == [
        b"0 " + leaf_hash(lines[at]).hex().encode() for at in (0, 2, 3)
    ]


def test_the_vectors_are_those_of_the_code() -> None:
    """Roots, both kinds of proofs, and the signed note with its cosignature."""
    assert len(LEAVES) == 8
    roots = {int(size): bytes.fromhex(root) for size, root in _table("vectors")}
    tree = verify_py.Tree()
    assert roots.pop(0) == tree.root()
    for size, leaf in enumerate(LEAVES, 1):
        tree.add(verify_py.leaf_hash(leaf))
        assert roots[size] == tree.root()
    proofs: dict[tuple[str, int, int], list[bytes]] = {}
    for kind, low, high, digest in _table("proofs"):
        proofs.setdefault((kind, int(low), int(high)), []).append(bytes.fromhex(digest))
    assert [len(proof) for proof in proofs.values()] == [3, 3, 2]
    for (kind, first, size), proof in proofs.items():
        if kind == "inclusion":
            verify_inclusion(first, size, leaf_hash(LEAVES[first]), proof, roots[size])
            verify_py.check_inclusion(first, size, leaf_hash(LEAVES[first]), proof, roots[size])
        else:
            verify_consistency(first, size, proof, roots[first], roots[size])
    log, witness = verify_py.read_keys(BLOCKS["vectors/keys"].encode())
    found = verify_py.read_checkpoint(BLOCKS["vectors/checkpoint"].encode(), [log])
    assert (found.size, found.root) == (8, roots[8])
    assert [verify_py.signed_by(found.text, one, witness) for one in found.signatures] == [False, True]


def test_the_page_s_large_tree_has_its_root() -> None:
    """70,000 leaves, and the first 256 of them."""
    tree = verify_py.Tree()
    roots = {}
    for number in range(70_000):
        tree.add(verify_py.leaf_hash(b'{"n":%d}' % number))
        if tree.size in {256, 70_000}:
            roots[tree.size] = tree.root().hex()
    assert all(root in PAGE for root in roots.values()), roots
    assert len(roots) == 2


def test_the_example_without_its_end_is_found(state: Path) -> None:
    """A segment, a checkpoint, a stream: each is missed."""
    for name in [name for name in BLOCKS if name.startswith("audit/")]:
        shutil.copytree(state, state.with_name("copy"))
        (state.with_name("copy") / name).unlink()
        assert (
            run_verifier("--ledger", state.with_name("copy"), "--public-key", state / "keys" / "audit.pub")[0] == 1
        ), name
        shutil.rmtree(state.with_name("copy"))
