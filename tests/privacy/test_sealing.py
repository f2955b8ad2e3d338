"""Sealing to the security team: the service writes what only the team reads."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from authz.core import ConfigurationError
from authz.privacy import NotOpenedError, Opener, load_private_team_key, new_team_key
from authz.privacy.sealing import Sealer, load_team_key
from tests.properties import many

PRIVATE = X25519PrivateKey.generate()
SEALER, OPENER = Sealer(PRIVATE.public_key()), Opener(PRIVATE)


@many
@given(st.text())
def test_what_is_sealed_opens(value: str) -> None:
    """Any text comes back, names and fields; a field never looks the same twice."""
    assert OPENER.name(SEALER.name(value, "h1:k:p"), "h1:k:p") == value
    first, second = SEALER.field(value), SEALER.field(value)
    assert [OPENER.field(first), OPENER.field(second)] == [value, value]
    assert first != second


def test_a_name_opens_under_its_own_pseudonym_alone() -> None:
    """Rows cannot be swapped, and another key opens nothing."""
    sealed = SEALER.name("alice", "h1:k:alice")
    for opener, pseudonym in ((OPENER, "h1:k:bob"), (Opener(X25519PrivateKey.generate()), "h1:k:alice")):
        with pytest.raises(NotOpenedError):
            opener.name(sealed, pseudonym)
    with pytest.raises(NotOpenedError):
        OPENER.name(sealed[:20], "h1:k:alice")


def test_a_field_that_was_changed_does_not_open() -> None:
    """Any byte of it, its key id and its version count."""
    text = SEALER.field("203.0.113.7")
    raw = bytearray(base64.urlsafe_b64decode(text.split(":")[2] + "=="))
    broken = [f"s2{text[2:]}", text[:-30], "s1:", "", "s1:00000000:AAAA", f"{text}!"]
    for at in (0, 40, 85, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        broken.append(f"s1:{SEALER.key_id}:{base64.urlsafe_b64encode(changed).decode().rstrip('=')}")
    for each in broken:
        with pytest.raises(NotOpenedError):
            OPENER.field(each)


def test_data_keys_last_an_hour() -> None:
    """Fields of one hour share a sealed key; then another is made, and both open."""
    now = [0.0]
    sealer = Sealer(PRIVATE.public_key(), lambda: now[0])

    def prefix() -> bytes:
        field = sealer.field("x")
        assert OPENER.field(field) == "x"
        return base64.urlsafe_b64decode(field.split(":")[2] + "==")[:80]

    first = prefix()
    now[0] = 3599.9
    assert prefix() == first
    now[0] = 3600.0
    assert prefix() != first


def test_the_pair_in_files(tmp_path: Path) -> None:
    """A pair is made once, the private key for its owner's eyes alone, and the service refuses to hold that one."""
    private, public = tmp_path / "team.key", tmp_path / "team.pub"
    key_id = new_team_key(private, public)
    assert private.stat().st_mode & 0o777 == 0o600
    sealer, opener = Sealer(load_team_key(public)), Opener(load_private_team_key(private))
    assert {sealer.key_id, opener.key_id} == {key_id}
    assert opener.field(sealer.field("alice")) == "alice"
    with pytest.raises(ConfigurationError, match="is there already"):
        new_team_key(private, tmp_path / "other.pub")
    with pytest.raises(ConfigurationError, match="is a private key: it belongs to the security team alone"):
        load_team_key(private)
    with pytest.raises(ConfigurationError, match="no private key in PEM"):
        load_private_team_key(public)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no public key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is no public key in PEM"),
        (
            Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "is not an X25519 key",
        ),
    ],
)
def test_what_is_no_team_key_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Wrong files are refused by the name of the setting."""
    (tmp_path / "team.pub").write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"audit.security_key: .*{message}"):
        load_team_key(tmp_path / "team.pub")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_team_key(tmp_path / "none.pub")
