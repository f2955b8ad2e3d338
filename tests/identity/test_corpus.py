"""The attack corpus: every case is a refusal with its own reason, those that PyJWT alone accepts too."""

import gzip
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import LogCapture

from authz.identity import Verifier
from tests.identity.conftest import ALGORITHMS, NOW, Forge, b64, jwk, reason, unb64


class Case(NamedTuple):
    """One attack: what it is called, the reason it must get, how it is made."""

    name: str
    reason: str
    make: Callable[[Forge], str]


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

MALFORMED, SIGNATURE = "token_malformed", "token_signature"


def unsigned(alg: object) -> Callable[[Forge], str]:
    return lambda forge: f"{_encoded({'alg': alg, 'kid': 'rsa', 'typ': 'at+jwt'})}.{_encoded(forge.claims())}."


def header(**members: Any) -> Callable[[Forge], str]:
    return lambda forge: forge.token(header=members)


def foreign(**members: Any) -> Callable[[Forge], str]:
    return lambda forge: forge.token(header=members, key=forge.other_rsa)


def claims(**changes: Any) -> Callable[[Forge], str]:
    return lambda forge: forge.token(**changes)


def payload(data: bytes) -> Callable[[Forge], str]:
    return lambda forge: forge.signed(b'{"alg":"RS256","kid":"rsa","typ":"at+jwt"}', data, forge.rsa)


def patched(old: bytes, new: bytes) -> Callable[[Forge], str]:
    def make(forge: Forge) -> str:
        data = json.dumps(forge.claims()).encode()
        assert old in data
        return payload(data.replace(old, new))(forge)

    return make


def raw_header(data: bytes) -> Callable[[Forge], str]:
    return lambda forge: forge.signed(data, json.dumps(forge.claims()).encode(), forge.rsa)


def hmac_with(secret: Callable[[Forge], bytes]) -> Callable[[Forge], str]:
    """Key confusion: the public key's text as an HMAC secret."""

    def make(forge: Forge) -> str:
        body = f"{_encoded({'alg': 'HS256', 'kid': 'rsa', 'typ': 'at+jwt'})}.{_encoded(forge.claims())}"
        return f"{body}.{b64(hmac.digest(secret(forge), body.encode(), hashlib.sha256))}"

    return make


def ec_signature(change: Callable[[int, int], bytes]) -> Callable[[Forge], str]:
    """An ES256 token whose r and s were changed."""

    def make(forge: Forge) -> str:
        body, _, signature = forge.token(header={"kid": "ec"}, key=forge.ec, algorithm="ES256").rpartition(".")
        raw = unb64(signature)
        return f"{body}.{b64(change(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])))}"

    return make


def pair(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def text(change: Callable[[str], str]) -> Callable[[Forge], str]:
    return lambda forge: change(forge.token())


def part(index: int, change: Callable[[str], str]) -> Callable[[Forge], str]:
    def make(forge: Forge) -> str:
        parts = forge.token().split(".")
        parts[index] = change(parts[index])
        return ".".join(parts)

    return make


def other_last_character(segment: str) -> str:
    """The same bytes in a second spelling: the last character's unused bits are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


def _encoded(value: object) -> str:
    return b64(json.dumps(value).encode())


def _pem(forge: Forge, encoding: Encoding) -> bytes:
    return forge.rsa.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def _tampered(forge: Forge) -> str:
    first, _, last = forge.token().split(".")
    return f"{first}.{_encoded(forge.claims(sub='root'))}.{last}"


def _unpadded_length(forge: Forge) -> str:
    """A good token whose payload segment needs padding."""
    for filler in range(3):
        token = forge.token(filler="x" * filler)
        if len(token.split(".")[1]) % 4:
            return token
    raise AssertionError


def _other_spelling(index: int) -> Callable[[Forge], str]:
    def make(forge: Forge) -> str:
        for filler in range(4):
            parts = forge.token(header={"x": "y" * filler}, filler="x" * filler).split(".")
            if len(parts[index]) % 4 and unb64(other_last_character(parts[index])) == unb64(parts[index]):
                parts[index] = other_last_character(parts[index])
                return ".".join(parts)
        raise AssertionError

    return make


def _der(r: int, s: int) -> bytes:
    return encode_dss_signature(r, s)


def _wrong_curve(forge: Forge) -> str:
    body = f"{_encoded({'alg': 'ES256', 'kid': 'ec', 'typ': 'at+jwt'})}.{_encoded(forge.claims())}"
    r, s = decode_dss_signature(_sign384(forge, body.encode()))
    return f"{body}.{b64(r.to_bytes(48) + s.to_bytes(48))}"


def _sign384(forge: Forge, body: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    return forge.ec384.sign(body, ECDSA(SHA256()))


def _es256_with_rsa_key(forge: Forge) -> str:
    return forge.token(header={"kid": "rsa"}, key=forge.ec, algorithm="ES256")


def _detached(forge: Forge) -> str:
    head = _encoded({"alg": "RS256", "kid": "rsa", "typ": "at+jwt", "b64": False, "crit": ["b64"]})
    body = json.dumps(forge.claims()).encode()
    return f"{head}..{b64(ALGORITHMS['RS256'].sign(head.encode() + b'.' + body, forge.rsa))}"


CASES = (
    # alg
    *(Case(f"alg {alg}", MALFORMED, unsigned(alg)) for alg in ("none", "None", "NONE", "nOnE")),
    Case("alg none with a signature", SIGNATURE, header(alg="none")),
    Case("alg empty", SIGNATURE, header(alg="")),
    Case("alg missing", MALFORMED, header(alg=...)),
    Case("alg list", MALFORMED, header(alg=["RS256"])),
    Case("alg int", MALFORMED, header(alg=256)),
    Case("alg object", MALFORMED, header(alg={"RS256": True})),
    Case("alg null", MALFORMED, header(alg=None)),
    Case("alg lower case", SIGNATURE, header(alg="rs256")),
    Case("alg duplicated", MALFORMED, raw_header(b'{"alg":"none","alg":"RS256","kid":"rsa","typ":"at+jwt"}')),
    Case("alg duplicated by escape", MALFORMED, raw_header(b'{"alg":"RS256","\\u0061lg":"RS256","kid":"rsa"}')),
    Case("HS256 with the RSA PEM", SIGNATURE, hmac_with(lambda forge: _pem(forge, Encoding.PEM))),
    Case("HS256 with the RSA DER", SIGNATURE, hmac_with(lambda forge: _pem(forge, Encoding.DER))),
    Case("HS256 with the JWK", SIGNATURE, hmac_with(lambda forge: json.dumps(forge.document()["keys"][0]).encode())),
    Case("HS256 with an empty secret", SIGNATURE, hmac_with(lambda _: b"")),
    Case("RS384 on an RS256 key", SIGNATURE, lambda forge: forge.token(algorithm="RS384")),
    Case("PS256 on an RS256 key", SIGNATURE, lambda forge: forge.token(algorithm="PS256")),
    Case("ES256 naming an RSA key", SIGNATURE, _es256_with_rsa_key),
    Case("EdDSA naming an EC key", SIGNATURE, lambda f: f.token(header={"kid": "ec"}, key=f.ed, algorithm="EdDSA")),
    # signature
    Case("signed by another key", SIGNATURE, lambda forge: forge.token(key=forge.other_rsa)),
    Case("signed by a 1024 bit key", SIGNATURE, lambda forge: forge.token(key=forge.small_rsa)),
    Case("payload changed", SIGNATURE, _tampered),
    Case("signature empty", MALFORMED, part(2, lambda _: "")),
    Case("signature cut", SIGNATURE, part(2, lambda signature: signature[:-6])),
    Case("signature zero", SIGNATURE, part(2, lambda _: b64(bytes(256)))),
    Case("psychic signature", SIGNATURE, ec_signature(lambda _r, _s: bytes(64))),
    Case("signature (n, n)", SIGNATURE, ec_signature(lambda _r, _s: pair(_P256_ORDER, _P256_ORDER))),
    Case("signature (1, 0)", SIGNATURE, ec_signature(lambda _r, _s: pair(1, 0))),
    Case("signature in DER", SIGNATURE, ec_signature(_der)),
    Case("signature of another curve", SIGNATURE, _wrong_curve),
    # encoding
    Case("empty", MALFORMED, lambda _: ""),
    Case("dots", MALFORMED, lambda _: ".."),
    Case("two segments", MALFORMED, text(lambda token: token.rpartition(".")[0])),
    Case("four segments", MALFORMED, text(lambda token: token + ".e30")),
    Case("five segments", MALFORMED, text(lambda token: token + ".e30.e30")),
    Case("payload spelled otherwise", MALFORMED, _other_spelling(1)),
    Case("header spelled otherwise", MALFORMED, _other_spelling(0)),
    Case("signature spelled otherwise", MALFORMED, _other_spelling(2)),
    Case("padded", MALFORMED, lambda forge: _padded(_unpadded_length(forge), 1)),
    Case("signature padded", MALFORMED, part(2, lambda signature: signature + "==")),
    Case("standard alphabet", MALFORMED, part(2, lambda s: s.replace("-", "+").replace("_", "/") + "+")),
    Case("newline inside", MALFORMED, text(lambda token: token[:20] + "\n" + token[20:])),
    Case("newline at the end", MALFORMED, text(lambda token: token + "\n")),
    Case("space in front", MALFORMED, text(lambda token: " " + token)),
    Case("NUL", MALFORMED, text(lambda token: token + "\0")),
    Case("not ASCII", MALFORMED, text(lambda token: token + "é")),
    Case("full-width dot", MALFORMED, text(lambda token: token.replace(".", "\uff0e"))),
    Case("lone surrogate in the text", MALFORMED, text(lambda token: token + "\ud800")),
    Case("too large", "token_too_large", lambda forge: forge.token(filler="x" * 8192)),
    Case("1 MiB of garbage", "token_too_large", lambda _: "a" * 2**20),
    # JSON
    Case("payload array", MALFORMED, payload(b'["iss"]')),
    Case("payload string", MALFORMED, payload(b'"iss"')),
    Case("payload not JSON", MALFORMED, payload(b"iss=ann")),
    Case("payload bad UTF-8", MALFORMED, patched(b'"ann"', b'"\xff"')),
    Case("payload overlong UTF-8", MALFORMED, patched(b'"ann"', b'"\xc0\xaf"')),
    Case("payload UTF-16", MALFORMED, lambda f: payload(json.dumps(f.claims()).encode("utf-16"))(f)),
    Case("payload UTF-16 without mark", MALFORMED, lambda f: payload(json.dumps(f.claims()).encode("utf-16-le"))(f)),
    Case("payload UTF-32", MALFORMED, lambda f: payload(json.dumps(f.claims()).encode("utf-32"))(f)),
    Case("payload with a byte order mark", MALFORMED, lambda f: payload(json.dumps(f.claims()).encode("utf-8-sig"))(f)),
    Case("lone surrogate in a claim", MALFORMED, patched(b'"ann"', b'"ann\\ud800x"')),
    Case("lone low surrogate in a claim", MALFORMED, patched(b'"ann"', b'"\\udc00"')),
    Case("surrogate as UTF-8", MALFORMED, patched(b'"ann"', b'"\xed\xa0\x80"')),
    Case("nested 3,000 deep", MALFORMED, patched(b'["user"]', b"[" * 2500 + b"]" * 2500)),
    Case("nested 33 deep", MALFORMED, claims(deep=json.loads("[" * 33 + "]" * 33))),
    Case("integer of 5,000 digits", MALFORMED, patched(str(NOW + 300).encode(), b"9" * 5000)),
    Case("number out of range", MALFORMED, patched(b'"ann"', b'"ann", "n": 1e999')),
    Case("duplicate claim", MALFORMED, patched(b'"sub": "ann"', b'"sub": "root", "sub": "ann"')),
    Case("duplicate claim by escape", MALFORMED, patched(b'"sub": "ann"', b'"s\\u0075b": "root", "sub": "ann"')),
    Case("duplicate in a nested object", MALFORMED, patched(b'["user"]', b'{"a": 1, "a": 2}')),
    Case("trailing bytes", MALFORMED, lambda f: payload(json.dumps(f.claims()).encode() + b"{}")(f)),
    Case("nested JWT", MALFORMED, lambda f: payload(f.token().encode())(f)),
    Case("header array", MALFORMED, raw_header(b'["RS256"]')),
    Case("header not JSON", MALFORMED, raw_header(b"RS256")),
    Case("header with a byte order mark", MALFORMED, raw_header(b'\xef\xbb\xbf{"alg":"RS256","kid":"rsa"}')),
    # header members
    Case("jku, ours", MALFORMED, header(jku="https://idp.example/jwks")),
    Case("jku, signed by its key", MALFORMED, foreign(jku="https://evil.example/jwks", kid="evil")),
    Case("x5u, signed by its key", MALFORMED, foreign(x5u="https://evil.example/cert")),
    Case("jwk, signed by it", MALFORMED, lambda f: f.token(header={"jwk": jwk(f.other_rsa)}, key=f.other_rsa)),
    Case("jwk, ours", MALFORMED, lambda f: f.token(header={"jwk": jwk(f.rsa)})),
    Case("x5c, signed by it", MALFORMED, foreign(x5c=["MIIB"])),
    Case("x5t, signed by its key", SIGNATURE, foreign(x5t="dGh1bWI", kid="evil")),
    Case("zip", MALFORMED, header(zip="DEF")),
    Case("compressed", MALFORMED, lambda f: payload(gzip.compress(json.dumps(f.claims()).encode()))(f)),
    Case("kid null", MALFORMED, header(kid=None)),
    Case("kid int", MALFORMED, header(kid=1)),
    Case("kid list", MALFORMED, header(kid=["rsa"])),
    Case("kid missing, several keys", SIGNATURE, header(kid=...)),
    Case("kid empty", SIGNATURE, header(kid="")),
    Case("kid path", SIGNATURE, header(kid="../../rsa")),
    Case("kid SQL", SIGNATURE, header(kid="rsa' OR '1'='1")),
    Case("kid NUL", SIGNATURE, header(kid="rsa\0")),
    Case("kid case", SIGNATURE, header(kid="RSA")),
    Case("kid of another key", SIGNATURE, header(kid="ed")),
    Case("crit unknown", MALFORMED, header(crit=["exp"])),
    Case("crit empty", MALFORMED, header(crit=[])),
    Case("crit no list", MALFORMED, header(crit="b64")),
    Case("crit absent member", MALFORMED, header(crit=["b64"])),
    Case("crit b64 true", MALFORMED, header(crit=["b64"], b64=True)),
    Case("b64 false", MALFORMED, _detached),
    Case("b64 false, not critical", MALFORMED, header(b64=False)),
    # type
    Case("ID token by claim", "token_type", lambda f: f.token(header={"typ": "JWT"}, typ="ID")),
    Case("ID token by nonce", "token_type", lambda f: f.token(header={"typ": "JWT"}, nonce="n")),
    Case("ID token by at_hash", "token_type", lambda f: f.token(header={"typ": "JWT"}, at_hash="h")),
    Case("ID token without typ", "token_type", lambda f: f.token(header={"typ": ...}, c_hash="h")),
    Case("refresh token", "token_type", lambda f: f.token(header={"typ": "JWT"}, typ="Refresh")),
    Case("Cognito ID token", "token_type", lambda f: f.token(header={"typ": ...}, token_use="id")),
    Case("DPoP proof", "token_type", header(typ="dpop+jwt")),
    Case("DPoP proof as JWT", "token_type", lambda f: f.token(header={"typ": "JWT"}, htm="GET", htu="https://x")),
    Case("logout token", "token_type", header(typ="logout+jwt")),
    Case("logout token as JWT", "token_type", lambda f: f.token(header={"typ": "JWT"}, events={})),
    Case("security event", "token_type", header(typ="secevent+jwt")),
    Case("typ JOSE", "token_type", header(typ="JOSE")),
    Case("typ int", MALFORMED, header(typ=1)),
    Case("claim typ int", "token_type", claims(typ=1)),
    Case("bound to a key", "token_binding", claims(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
    # times
    Case("expired", "token_expired", claims(exp=NOW - 31)),
    Case("exp = now - leeway", "token_expired", claims(exp=NOW - 30)),
    Case("exp missing", MALFORMED, claims(exp=...)),
    Case("exp null", MALFORMED, claims(exp=None)),
    Case("exp list", MALFORMED, claims(exp=[NOW + 300])),
    Case("exp bool", MALFORMED, claims(exp=True)),
    Case("exp string", MALFORMED, claims(exp=str(NOW + 300))),
    Case("exp float", MALFORMED, claims(exp=NOW + 300.5)),
    Case("exp 1e308", MALFORMED, patched(str(NOW + 300).encode(), b"1e308")),
    Case("exp Infinity", MALFORMED, patched(str(NOW + 300).encode(), b"Infinity")),
    Case("exp NaN", MALFORMED, patched(str(NOW + 300).encode(), b"NaN")),
    Case("exp in a year", MALFORMED, claims(exp=NOW + 365 * 86_400)),
    Case("exp in a year, no iat", MALFORMED, claims(exp=NOW + 365 * 86_400, iat=...)),
    Case("exp negative", "token_expired", claims(exp=-1)),
    Case("nbf in the future", "token_not_yet_valid", claims(nbf=NOW + 31)),
    Case("iat in the future", "token_not_yet_valid", claims(iat=NOW + 31)),
    Case("nbf string", MALFORMED, claims(nbf=str(NOW))),
    Case("iat null", MALFORMED, claims(iat=None)),
    # audience
    Case("aud missing", "token_audience", claims(aud=...)),
    Case("aud other", "token_audience", claims(aud="orders2")),
    Case("aud list without us", "token_audience", claims(aud=["a", "b"])),
    Case("aud empty list", "token_audience", claims(aud=[])),
    Case("aud empty", "token_audience", claims(aud="")),
    Case("aud object", "token_audience", claims(aud={"orders": True})),
    Case("aud mixed list", "token_audience", claims(aud=["orders", 1])),
    Case("aud null", "token_audience", claims(aud=None)),
    Case("aud space separated", "token_audience", claims(aud="orders billing")),
    # issuer
    Case("iss missing", "token_issuer", claims(iss=...)),
    Case("iss trailing slash", "token_issuer", claims(iss="https://idp.example/realms/shop/")),
    Case("iss case", "token_issuer", claims(iss="https://IDP.example/realms/shop")),
    Case("iss list", "token_issuer", claims(iss=["https://idp.example/realms/shop"])),
    Case("iss null", "token_issuer", claims(iss=None)),
    Case("iss other", "token_issuer", claims(iss="https://evil.example")),
    # subject and the rest
    Case("sub missing", MALFORMED, claims(sub=...)),
    Case("sub empty", MALFORMED, claims(sub="")),
    Case("sub int", MALFORMED, claims(sub=42)),
    Case("sub null", MALFORMED, claims(sub=None)),
    Case("sub with a line break", MALFORMED, claims(sub="ann\r\nX-Authz-Roles: admin")),
    Case("sub of 256 characters", MALFORMED, claims(sub="x" * 256)),
    Case("jti int", MALFORMED, claims(jti=1)),
    Case("sid int", MALFORMED, claims(sid=1)),
    Case("roles object", MALFORMED, claims(roles={"admin": True})),
    Case("roles mixed", MALFORMED, claims(roles=["user", 1])),
    Case("roles with a line break", MALFORMED, claims(roles=["user\nadmin"])),
    Case("roles null", MALFORMED, claims(roles=None)),
    Case("scope int", MALFORMED, claims(scope=1)),
    Case("scope null", MALFORMED, claims(scope=None)),
)


def _padded(token: str, index: int) -> str:
    parts = token.split(".")
    parts[index] += "=" * (-len(parts[index]) % 4)
    return ".".join(parts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_attack_is_refused_for_its_own_reason(
    case: Case, forge: Forge, verifier: Verifier, logged: LogCapture
) -> None:
    """No case of the corpus gets a subject, each is told apart by its reason, and none was unforeseen."""
    assert await reason(verifier, case.make(forge)) == case.reason
    assert "token_check_failed" not in {entry["event"] for entry in logged.entries}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda forge: forge.token(), id="RS256"),
        pytest.param(lambda f: f.token(header={"kid": "ec"}, key=f.ec, algorithm="ES256"), id="ES256"),
        pytest.param(lambda f: f.token(header={"kid": "ed"}, key=f.ed, algorithm="EdDSA"), id="EdDSA"),
        pytest.param(header(typ="JWT"), id="typ JWT"),
        pytest.param(header(typ="application/AT+JWT"), id="typ with its prefix"),
        pytest.param(header(typ=...), id="no typ"),
        pytest.param(header(x5t="dGh1bWI"), id="x5t is only a hint"),
        pytest.param(claims(exp=NOW - 29), id="expired within the leeway"),
        pytest.param(claims(nbf=NOW + 30, iat=NOW + 30), id="from the future within the leeway"),
        pytest.param(claims(aud=["other", "billing"]), id="aud list with us"),
        pytest.param(claims(nonce="n"), id="at+jwt may have a nonce"),
        pytest.param(lambda f: f.token(header={"typ": "JWT"}, typ="Bearer", nonce="n"), id="Bearer with a nonce"),
        pytest.param(claims(sub="x" * 255), id="sub of 255 characters"),
        pytest.param(claims(deep=json.loads("[" * 31 + "]" * 31)), id="nested 32 deep"),
        pytest.param(
            ec_signature(lambda r, s: pair(r, _P256_ORDER - s)), id="ES256 malleability: another text, the same claims"
        ),
    ],
)
async def test_the_neighbours_of_the_attacks_are_accepted(
    make: Callable[[Forge], str], forge: Forge, verifier: Verifier
) -> None:
    """The corpus is refused for what is wrong with it, not by refusing everything."""
    assert await reason(verifier, make(forge)) == "ok"


def test_the_corpus_is_complete() -> None:
    """At least the 111 cases that were run against PyJWT are here, each once."""
    assert len({case.name for case in CASES}) == len(CASES) >= 111
