"""The strict reading alone, without PyJWT behind it as a second line."""

import json
from typing import Any

import pytest

from authz.identity.jose import Refused, read_token
from tests.identity.conftest import b64

HEADER = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}


def text(header: dict[str, Any] | None = None, payload: str = "e30", signature: str = "AAAA") -> str:
    return f"{b64(json.dumps(HEADER if header is None else header).encode())}.{payload}.{signature}"


def detail(token: str) -> str:
    """Why the token cannot be read, empty when it can."""
    try:
        read_token(token)
    except Refused as refused:
        return refused.detail if refused.reason == "token_malformed" else refused.reason
    return ""


@pytest.mark.parametrize("name", ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip"])
def test_a_member_that_changes_the_meaning_is_refused(name: str) -> None:
    """Each by itself, whatever its value."""
    assert [detail(text({**HEADER, name: value})) for value in (None, True, "x", ["b64"])] == [
        f"the header has a member {name}"
    ] * 4


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"kid": "rsa"}, "the header has no alg, or one that is not a string"),
        ({**HEADER, "kid": 1}, "the header's kid is not a string"),
        ({**HEADER, "kid": None}, "the header's kid is not a string"),
        ({**HEADER, "typ": ["at+jwt"]}, "the header's typ is not a string"),
        ({"alg": "RS256"}, ""),
    ],
)
def test_the_members_that_are_used_are_strings(header: dict[str, Any], why: str) -> None:
    """`alg` must be there; `kid` and `typ` may be absent but not null."""
    assert detail(text(header)) == why


@pytest.mark.parametrize(
    ("payload", "signature", "why"),
    [
        ("e31", "AAAA", "a segment is not canonical base64url"),
        ("e30", "AB", "a segment is not canonical base64url"),
        ("e30", "AAB", "a segment is not canonical base64url"),
        ("e30", "A", "a segment is not base64url"),
        ("e30=", "AAAA", "not three base64url segments"),
        ("e30", "AAA=", "not three base64url segments"),
        ("e30", "AA", ""),
    ],
)
def test_bytes_have_one_spelling(payload: str, signature: str, why: str) -> None:
    """Unused bits are zero and there is no padding (RFC 7515 section 2), so one token is one text."""
    assert detail(text(None, payload, signature)) == why
