"""`authz policy sign`, `verify`, `inspect`."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from authz import bundle
from authz.cli import program
from tests.bundle.signers import Signer, make_signer


@pytest.fixture
def archive(members: dict[str, bytes], tmp_path: Path) -> Path:
    """An unsigned bundle."""
    path = tmp_path / "b.tar.gz"
    path.write_bytes(bundle.pack(members))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["policy", *map(str, arguments)])


def sign(archive: Path, signer: Signer, *more: object) -> Result:
    return run("sign", archive, "--key", signer.private, "--key-id", signer.key_id, *more)


def test_a_bundle_is_signed_by_two_and_verified(archive: Path, tmp_path: Path) -> None:
    """In place; the second signature goes beside the first."""
    one, two = make_signer(tmp_path, "one"), make_signer(tmp_path, "two", "EdDSA")
    keys = ("--key", f"one={one.public}", "--key", f"two={two.public}")

    unsigned = run("verify", archive, *keys, "--json")
    assert sign(archive, one, "--sequence", 5).exit_code == 0
    too_few = run("verify", archive, *keys, "--signatures", 2)
    assert sign(archive, two, "--add").exit_code == 0
    verified = run("verify", archive, *keys, "--signatures", 2, "--json")

    assert (unsigned.exit_code, msgspec.json.decode(unsigned.stdout)["reason"]) == (1, "bundle_unsigned")
    assert (too_few.exit_code, too_few.stderr) == (
        1,
        "refused (bundle_unsigned): 1 of 2 signatures by known keys (it is signed by one; known are one, two)\n",
    )
    assert msgspec.json.decode(verified.stdout) == {
        "valid": True,
        "revision": bundle.read(archive).revision,
        "sequence": 5,
        "key_ids": ["one", "two"],
    }


def test_inspect_tells_and_believes_nothing(archive: Path, tmp_path: Path) -> None:
    """Signatures are shown as not verified, whoever made them; what is no bundle is exit 1."""
    before = run("inspect", archive)
    sign(archive, make_signer(tmp_path, "one"), "--sequence", 5)
    after = msgspec.json.decode(run("inspect", archive, "--json").stdout)
    archive.write_bytes(archive.read_bytes()[:-900])
    torn = run("inspect", archive)

    assert "\nnot signed\n" in before.stdout
    assert after["unverified_signatures"] == [{"key_id": "one", "algorithm": "ES256", "sequence": 5}]
    assert {"name": "authz.wasm", "size_bytes": len(bundle.read_shipped().wasm)} in after["members"]
    assert (torn.exit_code, torn.stderr.partition(":")[0]) == (1, "refused (bundle_refused)")
