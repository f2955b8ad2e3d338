"""The keys of the pseudonyms: one in force, older ones found beside it, and nothing left of a destroyed one."""

from pathlib import Path

import pytest

from authz.core import ConfigurationError
from authz.identity import Pseudonymiser
from authz.privacy.keyring import KeyInForceError, NoSuchKeyError, destroy, load_keyring, load_or_create_keyring, rotate


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "pseudonym.key"


def test_every_key_is_kept_for_search(file: Path) -> None:
    """After each rotation a value has one pseudonym more, and it is written down under the newest key."""
    seen = [load_or_create_keyring(file).pseudonym("alice")]
    for _ in range(3):
        rotated = rotate(file)
        ring = load_keyring(file)
        assert (ring.current.key_id, rotated.old) == (rotated.new, seen[-1].split(":")[1])
        seen.append(ring.pseudonym("alice"))
        assert set(ring.pseudonyms("alice")) == set(seen)
    assert load_keyring(file).pseudonyms("alice")[0] == seen[-1]
    assert sorted(path.name for path in file.parent.iterdir()) == sorted(
        ["pseudonym.key", *(f"pseudonym.key.{each.split(':')[1]}" for each in seen[:-1])]
    )
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


def test_rotation_that_was_cut_short_loses_nothing(file: Path) -> None:
    """A draft and a second name of the key in force, as a crash leaves them, are no keys; the next try goes through."""
    current = load_or_create_keyring(file).current.key_id
    file.with_name("pseudonym.key.next").write_text("half of a k")
    file.with_name(f"pseudonym.key.{current}").hardlink_to(file)
    assert [key.key_id for key in load_keyring(file).all] == [current]
    rotated = rotate(file)
    assert [key.key_id for key in load_keyring(file).all] == [rotated.new, current]


def test_a_destroyed_key_is_gone(file: Path) -> None:
    """Its file was overwritten and is gone; the key in force and unknown ones are refused."""
    load_or_create_keyring(file)
    rotated = rotate(file)
    kept = file.with_name(f"pseudonym.key.{rotated.old}")
    secret = kept.read_bytes()
    with kept.open("rb") as still_open:
        destroy(file, rotated.old)
        assert still_open.read() == bytes(len(secret))
    assert [key.key_id for key in load_keyring(file).all] == [rotated.new]
    with pytest.raises(KeyInForceError, match=f"{rotated.new} is the key in force"):
        destroy(file, rotated.new)
    with pytest.raises(NoSuchKeyError, match=f"there is no key {rotated.old} beside"):
        destroy(file, rotated.old)


def test_an_older_key_that_is_no_key_is_said(file: Path) -> None:
    """A search that quietly misses an epoch is none: a short or open file beside the key is refused by its name."""
    load_or_create_keyring(file)
    old = file.with_name("pseudonym.key.0123abcd")
    old.write_bytes(b"short")
    old.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"pseudonym\.key\.0123abcd is shorter than 32 bytes"):
        load_keyring(file)


def test_salts_and_handles_are_not_pseudonyms() -> None:
    """Under one key a value's pseudonym, its salted ones and its handles have nothing in common."""
    key = Pseudonymiser(b"k" * 32, "k")
    made = [key.pseudonym("alice"), *(key.salted(salt, "alice") for salt in (b"a" * 16, b"b" * 16))]
    assert made == [
        "h1:k:p5vlzdNEsPRNp1GhAZT3iw",
        "h1:k:4riilmGOWiYpRovP7mOwbQ",
        "h1:k:LyVjBxsvM8i2NLLw_8ZncA",
    ]
    handles = {key.handle("alice", salted=salted).hex() for salted in (True, False)}
    assert handles == {"11561fecbfbf9bfef2162cc9655ccd8a", "060f93740da662ccc47914f683cbe17b"}
