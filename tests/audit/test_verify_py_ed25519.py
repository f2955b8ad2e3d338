"""The one-file verifier's Ed25519: RFC 8032, and never laxer than the library."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.evidence import verify
from tests.properties import many

# RFC 8032 section 7.1: public key, message, signature
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
            "655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
            "b00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
            "c027beceea1ec40a"
        ),
    ),
]

# Encodings of all points of small order: for such a key a signature can be made up without any secret.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]

# The same in encodings that are not the one of their point: y of p or more, or a minus sign on x = 0.
NOT_CANONICAL = [
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]

SEEDS = st.binary(min_size=32, max_size=32)


def library_says(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """What `cryptography` says."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("public_key", "message", "signature"), RFC_8032)
def test_the_rfc_s_signatures_hold(public_key: str, message: str, signature: str) -> None:
    """And none of them for another message."""
    key, text, made = bytes.fromhex(public_key), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify.verify_ed25519(key, made, text) is True
    assert verify.verify_ed25519(key, made, text + b".") is False


@many
@given(seed=SEEDS, message=st.binary(max_size=100))
def test_what_the_library_signs_holds(seed: bytes, message: bytes) -> None:
    """For any key and message."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    assert verify.verify_ed25519(private.public_key().public_bytes_raw(), private.sign(message), message) is True


@many
@given(seed=SEEDS, message=st.binary(max_size=40), bit=st.integers(0, 8 * 96 - 1))
def test_no_flipped_bit_goes_unseen(seed: bytes, message: bytes, bit: int) -> None:
    """In the key or in the signature; and the library says the same."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    whole = bytearray(private.public_key().public_bytes_raw() + private.sign(message))
    whole[bit // 8] ^= 1 << bit % 8
    key, signature = bytes(whole[:32]), bytes(whole[32:])
    assert verify.verify_ed25519(key, signature, message) is False
    assert library_says(key, signature, message) is False


@many
@given(seed=SEEDS, message=st.binary(max_size=40))
def test_a_scalar_of_the_order_or_more_is_refused(seed: bytes, message: bytes) -> None:
    """The same signature written another way would be a second one for the same text."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    signature = private.sign(message)
    scalar = int.from_bytes(signature[32:], "little") + verify.L
    other = signature[:32] + scalar.to_bytes(32, "little")
    assert verify.verify_ed25519(private.public_key().public_bytes_raw(), other, message) is False


@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_a_key_of_small_order_verifies_nothing(encoded: str) -> None:
    """Not even the signature that anybody can make for it: R = the neutral point, S = 0."""
    key = bytes.fromhex(encoded)
    point = verify.decode_point(key)
    assert point is not None
    assert verify.encode_point(verify.multiply(8, point)) == verify.encode_point(verify.NEUTRAL)
    made_up = verify.encode_point(verify.NEUTRAL) + bytes(32)
    assert [verify.verify_ed25519(key, made_up, b"%d" % number) for number in range(16)] == [False] * 16


@pytest.mark.parametrize("encoded", NOT_CANONICAL)
def test_a_point_has_one_encoding(encoded: str) -> None:
    """Others are no key."""
    assert verify.decode_point(bytes.fromhex(encoded)) is None


@many
@given(data=st.binary(min_size=32, max_size=32))
def test_decoding_and_encoding_are_inverse(data: bytes) -> None:
    """Every encoding that is taken is the one that would be written."""
    point = verify.decode_point(data)
    assert point is None or verify.encode_point(point) == data


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_wrong_lengths_are_refused(key: int, signature: int) -> None:
    """Before anything is computed."""
    assert verify.verify_ed25519(bytes(key), bytes(signature), b"") is False
