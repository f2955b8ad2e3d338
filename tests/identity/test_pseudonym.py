"""Pseudonyms: the same for the same, under one key, and the key is kept safe."""

import asyncio
from pathlib import Path

import pytest

from authz.core import ConfigurationError
from authz.identity import Pseudonymiser, load_key, load_or_create_key

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # printf 'authz\0ann' | openssl dgst -sha256 -mac HMAC -macopt key:... -binary | head -c 16 | base64
        ("ann", "h1:3eb1bd43:UEo9mkX5MesAOBx3dMhvFA"),
        ("f1b0c6e2-6a1d-4c4e-8f2b-0a2f6f0d9a77", "h1:3eb1bd43:tv1FUEgZ2_GiNPmpgeREDg"),
    ],
)
def test_the_construction_is_the_published_one(value: str, expected: str) -> None:
    """`h1`, 8 hex digits of the key's SHA-256, 16 bytes of HMAC-SHA256 over "authz" NUL id: as OpenSSL says."""
    assert Pseudonymiser(KEY).pseudonym(value) == expected


def test_same_value_same_pseudonym_other_key_another() -> None:
    """Under one key a value always has one pseudonym, from memory or not; another key gives another."""
    first, second = Pseudonymiser(KEY), Pseudonymiser(KEY[::-1])
    values = [f"user-{n}" for n in range(20_000)]
    once = [first.pseudonym(value) for value in values]
    assert [first.pseudonym(value) for value in values] == once
    assert len({*once, *(second.pseudonym(value) for value in values)}) == 40_000


def test_any_text_has_a_pseudonym() -> None:
    """Empty, not ASCII, NUL and even lone surrogates: a pseudonym is never an error."""
    made = {Pseudonymiser(KEY, "k1").pseudonym(value) for value in ("", "é", "\0", "\ud800", "x" * 100_000)}
    assert len(made) == 5
    assert all(each.startswith("h1:k1:") and len(each) == 28 for each in made)


def test_the_key_is_shown_nowhere() -> None:
    """Neither the key nor an id is in the text of a pseudonymiser."""
    pseudonymiser = Pseudonymiser(KEY)
    pseudonymiser.pseudonym("ann-the-user")
    assert not [part for part in ("0123456789", "ann-the-user") if part in repr(pseudonymiser)]


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    """The first start makes a random key, 0600 in a directory of 0700; later starts read it."""
    path = tmp_path / "keys" / "pseudonym.key"
    made = load_or_create_key(path)
    assert (load_or_create_key(path), load_key(path), len(made)) == (made, made, 64)
    assert [oct(each.stat().st_mode & 0o777) for each in (path.parent, path)] == ["0o700", "0o600"]
    assert [each.name for each in path.parent.iterdir()] == ["pseudonym.key"]
    assert load_or_create_key(tmp_path / "other.key") != made


async def test_two_who_start_at_once_share_one_key(tmp_path: Path) -> None:
    """Of keys made at the same moment one wins, and everybody uses it."""
    for round_ in range(20):
        path = tmp_path / str(round_)
        assert len(set(await asyncio.gather(*(asyncio.to_thread(load_or_create_key, path) for _ in range(4))))) == 1


def test_an_operators_key_loses_its_line_end(tmp_path: Path) -> None:
    """What `openssl rand -hex 32` wrote is the key with or without the line end an editor adds."""
    for content in (KEY, KEY + b"\n", KEY + b"\r\n"):
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(0o640)
        assert load_key(path) == KEY


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (KEY, 0o644, "the pseudonym key {path} is open to others: chmod 600 {path}"),
        (KEY, 0o602, "the pseudonym key {path} is open to others: chmod 600 {path}"),
        (KEY, 0o620, "the pseudonym key {path} is open to others: chmod 600 {path}"),
        (KEY[:31] + b"\n", 0o600, "the pseudonym key {path} is shorter than 32 bytes: openssl rand -hex 32 > {path}"),
        (
            None,
            0,
            (
                "the pseudonym key {path} cannot be read: No such file or directory. Make one, if there was none: "
                "openssl rand -hex 32 > {path}; chmod 600 {path}"
            ),
        ),
    ],
)
def test_a_key_that_is_open_short_or_missing_is_refused(
    content: bytes | None, mode: int, message: str, tmp_path: Path
) -> None:
    """The message names the file and the fix, and shows nothing of the key."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(ConfigurationError) as raised:
        load_key(path)
    assert str(raised.value) == message.format(path=path)


def test_a_short_key_makes_no_pseudonyms() -> None:
    """Wherever it came from, a key under 32 bytes is refused."""
    with pytest.raises(ConfigurationError, match="shorter than 32 bytes"):
        Pseudonymiser(b"short")
