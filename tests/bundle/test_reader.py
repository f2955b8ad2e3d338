"""Bundles: what one must hold, and what is refused."""

import hashlib
from pathlib import Path

import pytest

from authz import bundle
from authz.bundle import BundleError


def refusal(source: Path | bytes) -> str:
    """What is said when the bundle is refused."""
    with pytest.raises(BundleError) as refused:
        bundle.read(source)
    return str(refused.value)


def test_a_bundle_is_read_from_memory_and_from_a_file(members: dict[str, bytes], tmp_path: Path) -> None:
    """Both ways give the same bundle, with the digest of its archive."""
    archive = bundle.pack(members)
    path = tmp_path / "b.tar.gz"
    path.write_bytes(archive)

    read = bundle.read(archive)

    assert read == bundle.read(path)
    assert (hashlib.sha256(archive).hexdigest(), members) == (read.sha256, read.members)
    assert (members["authz.wasm"], members["data.json"]) == (read.wasm, read.data_json)
    assert read.entrypoints == (
        "authz/decision",
        "authz/catalogue",
        "authz/decisions",
        "authz/explain",
        "authz/candidates",
    )
    assert read.manifest.revision == read.revision
    assert read.signatures_json is None


def test_a_file_that_is_not_there_is_a_refusal(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "none.tar.gz"

    assert f"{path}: No such file or directory" == refusal(path)


@pytest.mark.parametrize("name", [".manifest", "authz.wasm", "data.json"])
def test_a_part_that_is_missing_is_named(members: dict[str, bytes], name: str) -> None:
    """Without its manifest, module or data there is no bundle."""
    del members[name]

    assert f"the bundle has no {name}: build it with `authz policy build`" == refusal(bundle.pack(members))


@pytest.mark.parametrize("name", ["policy.wasm", "a/data.json", "a/data.yaml", "data.yml", "patch.json", "README.md"])
def test_what_opa_and_we_would_read_differently_is_refused(members: dict[str, bytes], name: str) -> None:
    """Another module, data in another file, a patch: refused, whatever they hold."""
    members[name] = b"{}"

    assert f"the bundle holds {name!r}, which does not belong there" == refusal(bundle.pack(members))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (".manifest", b"{", "the bundle's .manifest: Input data was truncated"),
        (".manifest", b"{}", "the bundle's .manifest: Object missing required field `revision`"),
        (".manifest", b'{"revision":"1"}', "the bundle's .manifest, metadata.authz: Expected `object`, got `null`"),
        ("data.json", b"[]", "the bundle's data.json is not an object"),
        ("data.json", b'{"a":{"b":1,"b":2}}', "the bundle's data.json: key 'b' appears twice in one object"),
        (
            "data.json",
            b"\xff",
            "the bundle's data.json: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
    ],
)
def test_a_part_that_cannot_be_read_is_named(members: dict[str, bytes], name: str, content: bytes, said: str) -> None:
    """The message says which part, and what is wrong in it."""
    members[name] = content

    assert said == refusal(bundle.pack(members))


def test_the_digest_says_whether_it_is_the_one_that_was_meant(members: dict[str, bytes]) -> None:
    """The digest matches in either case of its letters, and any other is refused."""
    read = bundle.read(bundle.pack(members))

    bundle.verify_digest(read, read.sha256.upper())
    with pytest.raises(BundleError, match="it is not the one that was meant"):
        bundle.verify_digest(read, "0" * 64)


def test_the_shipped_bundle_is_the_recorded_one() -> None:
    """The package's own bundle passes its own check."""
    assert bundle.read_shipped().revision


def test_a_shipped_bundle_that_was_changed_is_refused(
    members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rule added to the installed file, and it is not used."""
    changed = tmp_path / "default.tar.gz"
    changed.write_bytes(bundle.pack({**members, "authz/more.rego": b"package authz.more"}))
    monkeypatch.setattr("authz.bundle.shipped.PATH", changed)

    with pytest.raises(BundleError, match="it is not the one that was meant"):
        bundle.read_shipped()
