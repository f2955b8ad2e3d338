"""Evidence that somebody changed on its way: found, whatever else they made fit."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.evidence import verify as verify_py
from authz.tlog import Signer
from tests.properties import many

from .packages import ALICE, judged, pack, rewrite, run_verifier, unpacked
from .signed_ledger import WITNESS, make_ledger, node_key


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that no test writes to."""
    return make_ledger(tmp_path_factory.mktemp("signed"))


@pytest.fixture(scope="module")
def original(signed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked package about alice, with the zip beside it."""
    path = tmp_path_factory.mktemp("original") / "alice"
    return unpacked(pack(signed, path.with_suffix(".zip"), *ALICE, "--compact"), path)


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(original, tmp_path / "package"))


FILES = ["README.txt", "node.tlog-proof", "public-keys", "streams/main/checkpoint", "streams/main/log", "verify.py"]


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_found(package: Path, signed: Path, name: str) -> None:
    """Each of them, in the directory and in the zip."""
    (package / name).unlink()
    assert judged(package, node_key(signed))[0] > 0
    assert run_verifier(package)[0] == 1


def test_a_file_more_is_said(package: Path, signed: Path) -> None:
    """It is no part of the evidence."""
    (package / "streams" / "main" / "note.txt").write_text("believe me")
    wrong, said = judged(package, node_key(signed))
    assert wrong == 0
    assert (
        "not proven: 'streams/main/note.txt': manifest.json does not know it, and nothing here says anything about it"
        in said
    )


def _edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda package: rewrite(package, name, change((package / name).read_bytes()))


def _without_row(kind: bytes) -> Callable[[bytes], bytes]:
    def change(log: bytes) -> bytes:
        rows = log.splitlines(keepends=True)
        del rows[max(number for number, row in enumerate(rows) if row.startswith(kind))]
        return b"".join(rows)

    return change


def _swapped(log: bytes) -> bytes:
    rows = log.splitlines(keepends=True)
    at = next(number for number, row in enumerate(rows) if row.startswith(b"{"))
    rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return b"".join(rows)


def _taken(name: str) -> Callable[[Path], None]:
    """A file of the other stream in its place."""
    return lambda package: rewrite(package, f"streams/main/{name}", (package / "streams/other" / name).read_bytes())


def _resigned(note: bytes) -> bytes:
    """The same tree head, signed by somebody else under the same name."""
    text = note.decode().partition("\n\n")[0] + "\n"
    return Signer.generate("ledger.example/node/main").sign(text)


def _both_taken(package: Path) -> None:
    _taken("log")(package)
    _taken("checkpoint")(package)


def _hide(package: Path) -> None:
    """Withhold one more, and leave what the manifest says as it was."""
    log = (package / "streams/main/log").read_bytes()
    row = next(row for row in log.splitlines() if row.startswith(b"{"))
    rewrite(package, "streams/main/log", log.replace(row, b"0 " + hashlib.sha256(b"\0" + row).hexdigest().encode()))


FORGERIES: dict[str, Callable[[Path], None]] = {
    "a record changed": _edit("streams/main/log", lambda log: log.replace(b'"e10"', b'"f10"')),
    "a record left out": _edit("streams/main/log", _without_row(b"{")),
    "a withheld record left out": _edit("streams/main/log", _without_row(b"0 ")),
    "two rows swapped": _edit("streams/main/log", _swapped),
    "a record withheld": _hide,
    "the log of another stream": _taken("log"),
    "the checkpoint of another stream": _taken("checkpoint"),
    "both of another stream": _both_taken,
    "a checkpoint that somebody else signed": _edit("streams/main/checkpoint", _resigned),
    "another place for the roll-up": _edit("node.tlog-proof", lambda proof: proof.replace(b"index 1", b"index 2")),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_package_is_found_though_its_manifest_fits(package: Path, signed: Path, forgery: str) -> None:
    """The manifest is anybody's; what counts is signed."""
    before = (package / "manifest.json").read_bytes()
    FORGERIES[forgery](package)
    assert (package / "manifest.json").read_bytes() != before
    assert judged(package, node_key(signed))[0] > 0
    assert run_verifier(package, "--public-key", node_key(signed))[0] == 1


def _spoilt(content: bytes, data: st.DataObject) -> bytes:
    """One byte of it is another one."""
    at = data.draw(st.integers(0, len(content) - 1))
    return content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]


@contextmanager
def _put_back(*paths: Path) -> Iterator[None]:
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["streams/main/log", "streams/main/checkpoint", "node.tlog-proof"])
@many
@given(data=st.data())
def test_no_changed_byte_goes_unseen(original: Path, signed: Path, name: str, data: st.DataObject) -> None:
    """Of any line, proof or checkpoint, with a manifest that was made to fit."""
    with _put_back(original / name, original / "manifest.json"):
        rewrite(original, name, _spoilt((original / name).read_bytes(), data))
        assert judged(original, node_key(signed), WITNESS.vkey)[0] > 0


@pytest.mark.slow
@many
@given(data=st.data())
def test_the_manifest_s_word_changes_nothing_that_is_proven(original: Path, signed: Path, data: st.DataObject) -> None:
    """A changed byte of it is found, or in what it says of itself; and the digest that is printed is another one."""
    manifest = original / "manifest.json"
    _, before = judged(original, node_key(signed), WITNESS.vkey)
    with _put_back(manifest):
        manifest.write_bytes(_spoilt(manifest.read_bytes(), data))
        wrong, said = judged(original, node_key(signed), WITNESS.vkey)
    if not wrong:
        assert [line for line in said if line.startswith("proven")] == [
            line for line in before if line.startswith("proven")
        ]
        assert said[0] != before[0]


@pytest.mark.slow
@many
@given(data=st.data())
def test_a_spoilt_zip_is_judged_and_never_breaks_the_judge(original: Path, data: st.DataObject) -> None:
    """It is found, or cannot be read, or the byte is one that nothing depends on."""
    path = original.with_name("spoilt.zip")
    path.write_bytes(_spoilt(original.with_suffix(".zip").read_bytes(), data))
    with redirect_stdout(StringIO()):
        assert verify_py.main([str(path)]) in {0, 1, 3}


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip" * 100])
def test_what_is_no_package_is_exit_3(tmp_path: Path, content: bytes) -> None:
    """Neither intact nor damaged is known."""
    (tmp_path / "e.zip").write_bytes(content)
    assert run_verifier(tmp_path / "e.zip")[0] == 3
    assert run_verifier(tmp_path / "nothing.zip")[0] == 3


def _without_node(package: Path) -> None:
    """Take the node's own word out, as somebody would whom it contradicts."""
    (package / "node.tlog-proof").unlink()
    manifest = json.loads((package / "manifest.json").read_bytes())
    del manifest["files"]["node.tlog-proof"]
    manifest["node"] = False
    (package / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("forgery", [each for each in FORGERIES if "roll-up" not in each])
def test_the_checkpoint_alone_finds_it_too(package: Path, signed: Path, forgery: str) -> None:
    """Without the node's roll-up there is less to prove, and no less to find."""
    _without_node(package)
    assert judged(package, node_key(signed))[0] == 0
    FORGERIES[forgery](package)
    assert judged(package, node_key(signed))[0] > 0
