"""Archives: what is refused, and that writing is a function of names and contents."""

import gzip
import io
import tarfile

import pytest

from authz.bundle import BundleError, Limits, pack, unpack


def tar_gz(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of entries as they are given, sound or not."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """A member of the given type."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "elsewhere" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return info


def refusal(archive: bytes, limits: Limits | None = None) -> str:
    """What is said when the archive is refused."""
    with pytest.raises(BundleError) as refused:
        unpack(archive, limits or Limits())
    return str(refused.value)


def test_what_was_packed_is_unpacked() -> None:
    """Packing and unpacking give back every member."""
    members = {"a/b.rego": b"package a", "data.json": b"{}", "big": bytes(200_000)}

    assert members == unpack(pack(members), Limits())


def test_packing_depends_on_names_and_contents_only() -> None:
    """The order of the members makes no difference, and no clock is in the bytes."""
    one = pack({"b": b"2", "a": b"1"})

    assert one == pack({"a": b"1", "b": b"2"})
    assert gzip.decompress(one)[: len("a")] == b"a"
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        assert [(m.name, m.mtime, m.uid, m.gid) for m in tar] == [("a", 0, 0, 0), ("b", 0, 0, 0)]


def test_empty_archives_are_archives() -> None:
    """No members are packed and unpacked too."""
    assert unpack(pack({}), Limits()) == {}


def test_opa_writes_one_leading_slash() -> None:
    """`opa build` names its members from the root; they are read by their plain names."""
    assert unpack(tar_gz((entry("/data.json"), b"{}")), Limits()) == {"data.json": b"{}"}


def test_directories_are_passed_over() -> None:
    """`tar` packs directories as members of their own, which hold nothing."""
    assert unpack(tar_gz((entry("a", tarfile.DIRTYPE), b""), (entry("a/b"), b"1")), Limits()) == {"a/b": b"1"}


@pytest.mark.parametrize(
    "name", ["../data.json", "a/../../data.json", "//data.json", "a//b", "./a", "a/.", "..", "a\\b", "/../x"]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    """A member whose name is not a plain relative path is refused."""
    assert f"the bundle's member name {name!r} is not a plain path" == refusal(tar_gz((entry(name), b"")))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE]
)
def test_members_that_are_no_plain_files_are_refused(kind: bytes) -> None:
    """Links, devices and pipes are refused."""
    assert refusal(tar_gz((entry("x", kind), b""))) == "the bundle's 'x' is not a plain file"


def test_a_member_twice_is_refused() -> None:
    """Two readers might take different ones, so neither is taken."""
    assert refusal(tar_gz((entry("x"), b"1"), (entry("/x"), b"2"))) == "the bundle holds 'x' twice"


def test_limits() -> None:
    """Too many bytes as it comes, too many unpacked, too many members: each is refused by its own sentence."""
    archive = tar_gz((entry("x"), bytes(5000)), (entry("y"), b""))

    assert f"the bundle has {len(archive)} bytes, more than 10" == refusal(archive, Limits(archive_bytes=10))
    assert refusal(archive, Limits(unpacked_bytes=4000)) == "the bundle unpacks to more than 4000 bytes"
    assert refusal(archive, Limits(members=1)) == "the bundle has more than 1 members"


@pytest.mark.slow
def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    """A gigabyte of zeros in a megabyte of gzip stops at the limit."""
    bomb = gzip.compress(bytes(1 << 30), 1)

    assert refusal(bomb, Limits(unpacked_bytes=65536)) == "the bundle unpacks to more than 65536 bytes"


@pytest.mark.parametrize("more", [b"x", b"\0", gzip.compress(b"junk", mtime=0)], ids=["a byte", "zero", "a member"])
def test_what_follows_the_end_is_refused(more: bytes) -> None:
    """Some readers of gzip go on after the first member, and some stop."""
    assert refusal(pack({"a": b"1"}) + more) == "the bundle goes on after its end"


@pytest.mark.parametrize(
    "damage",
    [b"", b"junk", gzip.compress(b"junk" * 500, mtime=0), pack({"a": b"1" * 9000})[:-900]],
    ids=["nothing", "junk", "no tar", "cut"],
)
def test_what_is_no_archive_is_refused(damage: bytes) -> None:
    """Bytes that are no gzip, no tar or not all of it are a BundleError, whatever the library raises."""
    assert refusal(damage).startswith(("the bundle is not", "the bundle has no"))
