"""Keys: their text forms, their names, and what is refused as one."""

from base64 import b64encode
from collections.abc import Callable

import pytest

from authz.tlog import CosignerKey, CosignerSigner, MalformedError, Signer, VerifierKey, check_name
from tests.tlog.notes import LOG, LOG_PRIVATE, LOG_VKEY, WITNESS, WITNESS_VKEY


def test_the_published_keys() -> None:
    """The text forms of keys with known seeds."""
    assert (LOG.vkey, str(LOG.verifier), LOG.private_text()) == (LOG_VKEY, LOG_VKEY, LOG_PRIVATE)
    assert (WITNESS.vkey, str(WITNESS.verifier)) == (WITNESS_VKEY, WITNESS_VKEY)
    assert LOG.key_id == LOG.verifier.key_id == bytes.fromhex("65ad1c28")


def test_a_key_comes_back_from_its_text() -> None:
    """Public and private, of a log and of a witness."""
    for made in (Signer.generate("a.example/b"), CosignerSigner.generate("w.example")):
        read = type(made).read(made.private_text())
        assert (read.name, read.private_text(), read.vkey) == (made.name, made.private_text(), made.vkey)
    assert VerifierKey.read(LOG_VKEY) == LOG.verifier
    assert CosignerKey.read(WITNESS_VKEY) == WITNESS.verifier


def test_generated_keys_differ() -> None:
    """Each is new."""
    assert Signer.generate("a").public_key != Signer.generate("a").public_key


def test_the_same_key_under_another_name_has_another_id() -> None:
    """From the node's key follow those of its streams: the public ones from the public one."""
    stream = LOG.named("audit.example/ledger1/w0")
    assert stream.public_key == LOG.public_key
    assert stream.key_id != LOG.key_id
    assert stream.verifier == LOG.verifier.named("audit.example/ledger1/w0")
    assert WITNESS.named("w2").verifier == WITNESS.verifier.named("w2")


def test_a_private_key_does_not_show() -> None:
    """Neither in a representation nor in the message about a damaged one."""
    secret = LOG_PRIVATE[-20:]
    assert secret not in repr(LOG)
    assert repr(LOG) == f"Signer({LOG_VKEY})"
    for spoilt in (LOG_PRIVATE[:-1], LOG_PRIVATE.replace("65ad", "65ae"), LOG_PRIVATE[1:], LOG_PRIVATE + "="):
        with pytest.raises(MalformedError) as refused:
            Signer.read(spoilt)
        assert secret[:10] not in str(refused.value)


KEY_BYTES = LOG.public_key


def vkey(data: bytes, *, name: str = "a", key_id: str = "00000000") -> str:
    """Any vkey."""
    return f"{name}+{key_id}+{b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a name, a key ID and base64"),
        ("a+b", "not a name, a key ID and base64"),
        (LOG_VKEY.upper(), "not a name, a key ID and base64"),
        (LOG_VKEY.replace("65ad1c28", "65AD1C28"), "not a name, a key ID and base64"),
        (LOG_VKEY.replace("65ad1c28", "٦٥٦٥٦٥٦٥"), "not a name, a key ID and base64"),
        (LOG_VKEY.replace("65ad1c28", "65ad1c29"), "its ID is not that of its name and key"),
        (LOG_VKEY.replace("ledger1", "ledger2"), "its ID is not that of its name and key"),
        (LOG_VKEY.replace("ledger1", "ledger 1"), "key name: empty, or with a space or plus sign"),
        (LOG_VKEY.removeprefix("audit.example/ledger1"), "key name: empty, or with a space or plus sign"),
        (LOG_VKEY + "\n", "not standard base64"),
        (LOG_VKEY[:-1] + "5", "its ID is not that"),
        (LOG_VKEY[:-2] + "=", "not standard base64"),
        (WITNESS_VKEY, "not an Ed25519 key of algorithm 0x01"),
        (vkey(b""), "not an Ed25519 key of algorithm 0x01"),
        (vkey(b"\x01" + KEY_BYTES[1:]), "not an Ed25519 key of algorithm 0x01"),
        (vkey(b"\x01" + KEY_BYTES + b"x"), "not an Ed25519 key of algorithm 0x01"),
        (vkey(b"\x02" + KEY_BYTES), "not an Ed25519 key of algorithm 0x01"),
        ("\ud800" + LOG_VKEY, "the character 0xd800 is not allowed in it"),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str, message: str) -> None:
    """And the message says why."""
    with pytest.raises(MalformedError, match=message):
        VerifierKey.read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it does not begin with"),
        (LOG_VKEY, "it does not begin with"),
        ("PRIVATE+KEY+a+b", "not a name, a key ID and base64"),
        (LOG_PRIVATE + " ", "not a name, a key ID and base64"),
        (WITNESS.private_text(), "not of algorithm 0x01"),
        ("PRIVATE+KEY+a+00000000+" + b64encode(b"\x01" + bytes(31)).decode(), "a seed of 31 bytes, not 32"),
        (LOG_PRIVATE.replace("65ad1c28", "65ad1c29"), "its ID is not that of its name and key"),
        (LOG_PRIVATE.replace("ledger1", "ledger\u00a01"), "empty, or with a space or plus sign"),
    ],
)
def test_what_is_no_private_key_is_refused(text: str, message: str) -> None:
    """And the message says why."""
    with pytest.raises(MalformedError, match=message):
        Signer.read(text)


BAD_NAMES = ["", " ", "a b", "a+b", "a\tb", "a\nb", "a\u2003b", "a\u0085b", "a\u3000", "a\x00", "\ud800"]
NAMED: list[Callable[[str], object]] = [check_name, LOG.named, LOG.verifier.named, WITNESS.verifier.named]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("use", NAMED)
def test_what_is_no_name_is_refused(use: Callable[[str], object], name: str) -> None:
    """Empty, or with a space of any alphabet, a plus sign, or a control character."""
    with pytest.raises(MalformedError, match="key name"):
        use(name)


def test_names_of_any_alphabet_are_allowed() -> None:
    """They are UTF-8 in the key ID."""
    signer = Signer.generate("журнал.example/größe")
    assert VerifierKey.read(signer.vkey) == signer.verifier
