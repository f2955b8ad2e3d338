"""The one-file verifier takes each value in its one form, and runs where it is sent."""

import ast
import base64
import io
import json
from pathlib import Path

import pytest

from authz.audit.evidence import verify as verify_py
from authz.audit.evidence.checking import check_proof
from authz.tlog import (
    Checkpoint,
    CompactRange,
    ProofError,
    Signer,
    TlogProof,
    VerifierKey,
    leaf_hash,
)

SIGNER = Signer("audit.example/ledger1", bytes(range(32)))
VKEY = "audit.example/ledger1+65ad1c28+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
NOTE = (
    "audit.example/ledger1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n"
    "— audit.example/ledger1 "
    "Za0cKJGfP4OaXE0PMEHwkJtaMjTlnZWVSxA8jz6kH5plRHHXhe/WzqMKEIN1Bu3DeEwfbZckls4oY2Ww1GB9UYQVaQ8=\n"
    "— witness.example/w1 "
    "IDJKvgAAAABpJIEA5F49SQ2UuzSKkremkxmM3nBgfo/0RDL/nBpYwgwYFwrY8Ggg+QtBaho9Aiw38jMirFh4tVY0EHX3oQ5lPsMSDw==\n"
).encode()


def test_the_tree_has_the_published_roots() -> None:
    """Sizes 0 to 8, leaf by leaf and by whole subtrees."""
    leaves = [verify_py.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
    tree, roots = verify_py.Tree(), []
    for leaf in leaves:
        roots.append(tree.root().hex())
        tree.add(leaf)
    assert [*roots, tree.root().hex()] == ROOTS
    whole = verify_py.Tree(4, [bytes.fromhex(ROOTS[4])])
    whole.add(verify_py.node_hash(leaves[4], leaves[5]), 1)
    whole.add(verify_py.node_hash(leaves[6], leaves[7]), 1)
    assert whole.root().hex() == ROOTS[8]


@pytest.mark.parametrize(("size", "level"), [(1, 1), (2, 2), (6, 2)])
def test_a_subtree_stands_only_where_it_can(size: int, level: int) -> None:
    """Anything else would be another tree of the same size."""
    tree = verify_py.Tree()
    for _ in range(size):
        tree.add(bytes(32))
    with pytest.raises(verify_py.WrongError):
        tree.add(bytes(32), level)


def test_the_published_checkpoint_is_read() -> None:
    """Signature and cosignature hold."""
    keys = verify_py.read_keys(VKEY.encode())
    found = verify_py.read_checkpoint(NOTE, keys)
    assert (found.origin, found.size, found.root.hex()) == ("audit.example/ledger1", 8, ROOTS[8])
    witness = verify_py.read_key("witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X")
    assert [verify_py.signed_by(found.text, one, witness) for one in found.signatures] == [False, True]


BROKEN_NOTES = [
    NOTE.replace(b"\n8\n", b"\n08\n"),
    NOTE.replace(b"\n8\n", b"\n+8\n"),
    NOTE.replace(b"\n8\n", b"\n8 \n"),
    NOTE.replace(b"\n8\n", "\n\u0668\n".encode()),
    NOTE.replace(b"\n8\n", b"\n9223372036854775808\n"),
    NOTE.replace(b"\n\n", b"\n"),
    NOTE[:-1],
    NOTE + b"\n",
    NOTE + b"rubbish\n",
    NOTE.replace(b"\n8\n", b"\r\n8\n"),
    NOTE.replace(b"\n8\n", b"\n8\n\x00\n"),
    NOTE.replace(b"ledger1\n8", b"\xff\n8"),
    NOTE.replace("— audit".encode(), b"- audit"),
]


@pytest.mark.parametrize("number", range(len(BROKEN_NOTES)))
def test_a_note_has_one_form(number: int) -> None:
    """Also where no key is there to check it with."""
    with pytest.raises(verify_py.WrongError):
        verify_py.read_checkpoint(BROKEN_NOTES[number], ())


@pytest.mark.parametrize("text", ["AB==", "AA=", "AA", "AAA", " AA==", "AA==\n", "A===", "AA\u00e9="])
def test_base64_has_one_form(text: str) -> None:
    """No stray bits, no missing padding, nothing else around it."""
    with pytest.raises(verify_py.WrongError):
        verify_py.read_base64(text, "x")


@pytest.mark.parametrize("text", ["", "-1", "01", "1_0", "1.0", "٣", "1e3", "9223372036854775808"])
def test_numbers_have_one_form(text: str) -> None:
    """As C2SP writes them."""
    with pytest.raises(verify_py.WrongError):
        verify_py.read_number(text, "x")


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":' + b"[" * 99_999,
        b"\xff",
        b'{"a":"\xed\xa0\x80"}',
        b"{} {}",
    ],
)
def test_json_has_one_reading(data: bytes) -> None:
    """No name twice, no number that is none, no depth that breaks the reader."""
    with pytest.raises(verify_py.WrongError):
        verify_py.read_object(data, "x")


@pytest.mark.parametrize(
    "row",
    [b"0 00", b"00 " + b"0" * 64, b"63 " + b"0" * 64, b"0 " + b"A" * 64, b" 0 " + b"0" * 64, b"", b"0  " + b"0" * 64],
)
def test_a_row_is_a_record_or_a_hash(row: bytes) -> None:
    """In one form each."""
    with pytest.raises(verify_py.WrongError):
        verify_py.read_log(io.BytesIO(row + b"\n"))
    with pytest.raises(verify_py.WrongError):
        verify_py.read_log(io.BytesIO(b"0 " + b"0" * 64))


def _line(seq: int, **fields: object) -> bytes:
    return json.dumps(
        {"prev": "0" * 64, "seq": seq, "id": "x", "ts": "t", "type": "t", **fields}, separators=(",", ":")
    ).encode()


def _proof(line: bytes) -> bytes:
    """A signed log whose second record this is."""
    leaves = [leaf_hash(b"first"), leaf_hash(line)]
    tree = CompactRange()
    tree.extend(leaves)
    return TlogProof(1, (leaves[0],), SIGNER.sign(Checkpoint(SIGNER.name, 2, tree.root()).text()), line).write()


@pytest.mark.parametrize(
    ("line", "holds"),
    [(_line(2), True), (_line(1), False), (_line(3), False), (b"second", False), (b'{"seq":2}', False)],
)
def test_a_record_says_its_own_place(line: bytes, holds: bool) -> None:
    """Both checkers refuse a record that stands elsewhere, or is none, though somebody signed the log."""
    keys = verify_py.read_keys(VKEY.encode())
    if holds:
        assert verify_py.check_proof(_proof(line), None, keys).record.seq == 2
        assert check_proof(_proof(line), None, [VerifierKey.read(VKEY)]).header.seq == 2
        return
    with pytest.raises(verify_py.WrongError):
        verify_py.check_proof(_proof(line), None, keys)
    with pytest.raises((ProofError, ValueError, Exception)):
        check_proof(_proof(line), None, [VerifierKey.read(VKEY)])


def test_it_is_one_file_of_the_standard_library_for_python_3_8() -> None:
    """Syntax and imports; newer methods of old types are in the list of what it must not use."""
    source = Path(verify_py.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
        )
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= {
        "__future__", "argparse", "base64", "binascii", "contextlib", "datetime", "hashlib", "io", "json", "pathlib",
        "re", "shutil", "struct", "subprocess", "sys", "tarfile", "typing", "zipfile", "zlib",
    }  # fmt: skip
    newer = {
        "removeprefix",
        "removesuffix",
        "bit_count",
        "is_relative_to",
        "file_digest",
        "UTC",
        "pairwise",
        "batched",
        "walk",
    }
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & newer
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "strict"]


def test_base64_of_the_library_and_ours_agree() -> None:
    """What is written in the one form is read."""
    assert [verify_py.read_base64(base64.b64encode(bytes(n)).decode(), "x") for n in range(9)] == [
        bytes(n) for n in range(9)
    ]
