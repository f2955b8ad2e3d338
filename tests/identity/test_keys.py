"""Which keys of a JWK Set may verify anything."""

import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from authz.identity.keys import KeySet, KeysUnavailableError, read_key_set, thumbprint
from tests.identity.conftest import ALGORITHMS, Forge, jwk

ALL = ("RS256", "PS256", "ES256", "ES384", "EdDSA")


def document(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def names(keys: KeySet) -> list[tuple[str, str]]:
    return sorted(keys.by_kid)


def test_a_key_serves_the_algorithms_it_fits(forge: Forge) -> None:
    """RSA keys serve all allowed RSA algorithms unless they name one; an EC key serves that of its curve."""
    keys = read_key_set(
        document(
            jwk(forge.rsa, kid="any"),
            jwk(forge.other_rsa, kid="one", alg="PS256", use="sig", key_ops=["verify"]),
            jwk(forge.ec, kid="ec"),
            jwk(forge.ec384, kid="ec384"),
            jwk(forge.ed, kid="ed"),
        ),
        ALL,
    )
    assert (names(keys), keys.size, keys.dropped, keys.lone) == (
        [
            ("any", "PS256"),
            ("any", "RS256"),
            ("ec", "ES256"),
            ("ec384", "ES384"),
            ("ed", "EdDSA"),
            ("one", "PS256"),
        ],
        5,
        (),
        {},
    )


def unusable(forge: Forge) -> list[tuple[str, dict[str, Any]]]:
    """Why a key must be left out, and the key."""
    good = jwk(forge.rsa)
    on_curve = jwk(forge.ec)
    return [
        ("it holds a secret or a private key", {"kty": "oct", "k": "c2VjcmV0"}),
        ("it holds a secret or a private key", ALGORITHMS["RS256"].to_jwk(forge.rsa, as_dict=True)),
        ("it is not for signatures", {**good, "use": "enc"}),
        ("it is not for signatures", {**good, "key_ops": ["encrypt"]}),
        ("it is not for signatures", {**good, "key_ops": "verify"}),
        ("its kty is not RSA, EC or OKP", {"kty": "AKP", "pub": "AA"}),
        ("its kty is not RSA, EC or OKP", {"kty": ["RSA"]}),
        ("a member of the key is missing or no string", {"kty": "RSA", "n": good["n"]}),
        ("a member of the key is missing or no string", {**good, "n": 5}),
        ("it fits none of the issuer's algorithms", {**good, "alg": "RS512"}),
        ("it fits none of the issuer's algorithms", {**good, "alg": "HS256"}),
        ("it fits none of the issuer's algorithms", jwk(ec.generate_private_key(ec.SECP256K1()))),
        (
            "it fits none of the issuer's algorithms",
            {
                "kty": "OKP",
                "crv": "Ed448",
                "x": ALGORITHMS["EdDSA"].to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True)["x"],
            },
        ),
        ("a member of the key is missing or no string", {**on_curve, "crv": ["P-256"], "alg": None}),
        ("its numbers are not a key", {**on_curve, "y": on_curve["x"]}),
        ("its numbers are not a key", {**good, "e": "AA"}),
        ("its numbers are not a key", {**jwk(forge.ed), "x": "AAAA"}),
        ("its numbers are not a key", {**good, "n": "!!"}),
        ("it is not 2048 to 8192 bits long", jwk(forge.small_rsa)),
        ("it is not 2048 to 8192 bits long", {**good, "n": "_" * 1400}),
    ]


def test_a_key_that_cannot_be_safe_is_left_out(forge: Forge) -> None:
    """Each unusable key is dropped with its reason; the good one beside it still counts."""
    for why, bad in unusable(forge):
        keys = read_key_set(document({**bad, "kid": "bad"}, jwk(forge.ec, kid="good")), ALL)
        assert (why, keys.dropped, names(keys)) == (why, (("bad", why),), [("good", "ES256")])


def test_a_set_without_a_usable_key_is_no_set(forge: Forge) -> None:
    """A JWK Set whose keys are all left out is an error, not an empty trust store."""
    with pytest.raises(KeysUnavailableError, match=r"^the JWK Set holds no usable key$"):
        read_key_set(document(jwk(forge.small_rsa, kid="a")), ALL)


def test_a_document_over_the_cap_is_not_decoded(forge: Forge) -> None:
    """256 KiB is the most that is looked at, wherever it came from."""
    good = document(jwk(forge.rsa, kid="a"))
    assert read_key_set(good.ljust(256 * 1024), ALL).size == 1
    with pytest.raises(KeysUnavailableError, match=r"^the JWK Set is over 262144 bytes$"):
        read_key_set(good.ljust(256 * 1024 + 1), ALL)


def test_two_keys_under_one_kid_are_none(forge: Forge) -> None:
    """Neither of two different keys with one kid counts; the same key twice is one key; kinds do not clash."""
    clash = read_key_set(document(jwk(forge.rsa, kid="a"), jwk(forge.other_rsa, kid="a"), jwk(forge.ec, kid="a")), ALL)
    twice = read_key_set(document(jwk(forge.rsa, kid="a"), jwk(forge.rsa, kid="a", use="sig")), ("RS256",))
    why = ("a", "another key has the same kid")
    assert (names(clash), clash.dropped) == ([("a", "ES256")], (why, why))
    assert (names(twice), twice.dropped, list(twice.lone)) == ([("a", "RS256")], (), ["RS256"])


def test_the_fingerprint_is_of_the_usable_keys(forge: Forge) -> None:
    """Order and unusable keys do not change it; another key, kid or algorithm does."""
    a, b = jwk(forge.rsa, kid="a"), jwk(forge.ec, kid="b")
    same = [document(a, b), document(b, a), document(a, b, {"kty": "oct", "k": "AA"}), document({**a, "x5t": "x"}, b)]
    other = [document(a), document(a, {**b, "kid": "c"}), document({**a, "alg": "RS256"}, b)]
    prints = [read_key_set(each, ALL).fingerprint for each in same]
    assert len(set(prints)) == 1
    assert len({prints[0], *(read_key_set(each, ALL).fingerprint for each in other)}) == 4


def test_no_error_shows_what_came(forge: Forge) -> None:
    """Errors and reasons hold nothing of the document but a shortened kid."""
    keys = read_key_set(document({"kty": "oct", "k": "hush", "kid": "k" * 100}, jwk(forge.rsa, kid="a")), ALL)
    assert keys.dropped == (("k" * 64, "it holds a secret or a private key"),)
    with pytest.raises(KeysUnavailableError) as raised:
        read_key_set(b'{"keys": "hush"}', ALL)
    assert "hush" not in repr(raised.value)


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 7638 section 3.1's example."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    assert thumbprint({"kty": "RSA", "n": n, "e": "AQAB"}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_any_document_is_keys_or_an_error(forge: Forge, examples: int) -> None:
    """Arbitrary bytes and arbitrary members never raise anything else."""
    good = jwk(forge.rsa)
    values = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
    members = st.dictionaries(
        st.sampled_from(["kty", "n", "e", "crv", "x", "y", "use", "alg", "kid", "key_ops"]),
        values | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", "AQAB", good["n"]]),
    )

    @hypothesis_settings(max_examples=examples, deadline=None)
    @given(st.binary(max_size=60) | st.lists(members, max_size=3).map(lambda keys: document(*keys)))
    def run(data: bytes) -> None:
        with contextlib.suppress(KeysUnavailableError):
            assert read_key_set(data, ALL).size

    run()


def test_large_keys_do_not_take_long() -> None:
    """An 8192 bit key is the largest there is: past that one signature could hold up the loop."""
    assert ("a", "RS256") in read_key_set(document(jwk(rsa.generate_private_key(65537, 3072), kid="a")), ALL).by_kid
