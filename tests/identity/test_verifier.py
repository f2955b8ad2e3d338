"""From a good token to a subject, and what is kept of a bad one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import LogCapture

from authz.core import BearerToken, Subject, TokenRefusal, UnverifiedClaims, subject_document
from authz.identity import IssuerSettings, Verifier
from authz.identity import verifier as verifier_module
from tests.identity.conftest import ISSUER, NOW, Forge, Start, jwk, reason, verify

ANN = Subject(
    type="user",
    id="ann",
    source="token",
    pseudonym="h1:3eb1bd43:UEo9mkX5MesAOBx3dMhvFA",
    roles=("user",),
    scopes=None,
    scope_mode="restrict",
    issuer=ISSUER,
    properties={},
    session_id=None,
)


async def test_a_good_token_is_its_subject(verifier: Verifier, forge: Forge) -> None:
    """Issuer, id, roles and pseudonym come from the token; no scope claim means that no scopes were stated."""
    assert await verify(verifier, forge.token()) == ANN


async def test_a_subject_says_until_when_it_is_one(verifier: Verifier, forge: Forge) -> None:
    """`exp` and the issuer's leeway, remembered or not."""
    token = BearerToken(forge.token(exp=NOW + 60))
    verdicts = [await verifier.verify(token) for _ in range(2)]

    assert [each.until for each in verdicts if isinstance(each, Subject)] == [NOW + 90] * 2


async def test_a_token_has_a_name_that_tells_nothing_of_it(verifier: Verifier, forge: Forge) -> None:
    """The same for the same token, remembered or not; another one for another; a pseudonym under the key."""
    token, other = forge.token(), forge.token(jti="2")
    subjects = [await verifier.verify(BearerToken(each)) for each in (token, token, other)]

    names = [subject.token_id for subject in subjects if isinstance(subject, Subject)]
    assert names[0] == names[1] != names[2]
    assert all(name is not None and name.startswith("h1:3eb1bd43:") and len(name) == 34 for name in names)


async def test_a_keycloak_token_works_with_four_lines(start: Start, forge: Forge, key_file: Path) -> None:
    """Nested roles, OIDC's own scopes, roles nobody knows, `typ: Bearer` in the claims: as Keycloak issues it."""
    verifier = await start(
        IssuerSettings(issuer=ISSUER, audiences=("account",), algorithms=("RS256",), keys=str(key_file))
    )
    token = forge.token(
        header={"typ": "JWT"},
        claims={
            "exp": NOW + 300,
            "iat": NOW,
            "auth_time": NOW - 5,
            "jti": "onrtac:5b0f8a1c-8f0e-4f3e-9e0b-3d3c3a4c9e11",
            "iss": ISSUER,
            "aud": ["orders", "account"],
            "sub": "f1b0c6e2-6a1d-4c4e-8f2b-0a2f6f0d9a77",
            "typ": "Bearer",
            "azp": "shop-frontend",
            "sid": "0e5a2c34-27b0-4f4c-9f3b-1d5d3a8c1e55",
            "acr": "1",
            "allowed-origins": ["https://shop.example"],
            "realm_access": {"roles": ["default-roles-shop", "offline_access", "uma_authorization", "user"]},
            "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
            "scope": "openid profile email",
            "email_verified": True,
            "preferred_username": "ann",
        },
    )
    assert await verify(verifier, token) == Subject(
        type="user",
        id="f1b0c6e2-6a1d-4c4e-8f2b-0a2f6f0d9a77",
        source="token",
        pseudonym="h1:3eb1bd43:tv1FUEgZ2_GiNPmpgeREDg",
        roles=("default-roles-shop", "offline_access", "uma_authorization", "user"),
        scopes=("openid", "profile", "email"),
        scope_mode="restrict",
        issuer=ISSUER,
        properties={},
        session_id="0e5a2c34-27b0-4f4c-9f3b-1d5d3a8c1e55",
    )


async def test_settings_say_where_roles_scopes_and_claims_are(
    start: Start, settings: IssuerSettings, forge: Forge
) -> None:
    """Dotted paths, renamed roles, scope mode, subject type and the allow-list of claims are the issuer's own."""
    told = msgspec.structs.replace(
        settings,
        roles_claim="resource_access.shop.example.roles",
        scopes_claim="scp",
        role_map={"staff": "user"},
        scope_mode="grant",
        subject_type="service",
        claims=("acr", "amr", "absent"),
    )
    token = forge.token(
        resource_access={"shop.example": {"roles": ["staff", "auditor", "user"]}},
        scp=["memory:read", "memory:read", ""],
        scope="ignored",
        acr="2",
        amr=["otp", "pwd"],
        email="ann@example.org",
    )
    assert await verify(await start(told), token) == msgspec.structs.replace(
        ANN,
        type="service",
        roles=("user", "auditor"),
        scopes=("memory:read",),
        scope_mode="grant",
        properties={"claims": {"acr": "2", "amr": ["otp", "pwd"]}},
    )


@pytest.mark.parametrize(
    ("path", "claims", "roles"),
    [
        ("https://api.example/roles", {"https://api.example/roles": ["a"]}, ("a",)),
        ("a.b", {"a.b": "x y", "a": {"b": "z"}}, ("x", "y")),
        ("a.b", {"a": ["b"]}, ()),
        ("a.b.c", {"a": {"b": 1}, "a.b": {"c": "x"}}, ("x",)),
        ("a.b.c", {"a": {"b.c": "x"}}, ("x",)),
        ("a", {}, ()),
        ("roles", {"roles": ["x"], "realm_access": {"roles": ["y"]}}, ("x",)),
        ("roles", {"realm_access": {"roles": ["y"]}}, ("y",)),
        ("roles", {"realm_access": ["y"]}, ()),
        ("groups", {"realm_access": {"roles": ["y"]}}, ()),
    ],
)
async def test_dotted_paths_find_names_with_dots_first(
    path: str,
    claims: dict[str, object],
    roles: tuple[str, ...],
    start: Start,
    settings: IssuerSettings,
    forge: Forge,
) -> None:
    """A claim whose own name has dots is that claim; Keycloak's place is the second choice after `roles`."""
    verifier = await start(msgspec.structs.replace(settings, roles_claim=path))
    verdict = await verify(verifier, forge.token(forge.claims(roles=...) | claims))
    assert isinstance(verdict, Subject)
    assert verdict.roles == roles


@pytest.mark.parametrize(("scope", "scopes"), [("", ()), ("a  b a", ("a", "b")), (["a", "b c"], ("a", "b c"))])
async def test_an_empty_scope_claim_is_not_an_absent_one(
    scope: object, scopes: tuple[str, ...], verifier: Verifier, forge: Forge
) -> None:
    """An empty scope claim states no scopes, which restricts to nothing."""
    assert await verify(verifier, forge.token(scope=scope)) == msgspec.structs.replace(ANN, scopes=scopes)


async def test_issuers_are_judged_by_their_own_keys_only(
    start: Start, settings: IssuerSettings, forge: Forge, tmp_path: Path
) -> None:
    """One issuer's key, algorithms and audiences never count for another's tokens."""
    file = tmp_path / "partner.json"
    file.write_text(json.dumps({"keys": [jwk(forge.ec, kid="ec"), jwk(forge.other_rsa, kid="partner")]}))
    partner = msgspec.structs.replace(
        settings, issuer="https://partner.example", keys=str(file), audiences=("partner",), algorithms=("ES256",)
    )
    verifier = await start(settings, partner)
    as_partner: dict[str, Any] = {"iss": "https://partner.example", "aud": "partner"}
    ec = {"kid": "ec"}
    assert [
        await reason(verifier, forge.token(header=ec, key=forge.ec, algorithm="ES256", **as_partner)),
        await reason(verifier, forge.token(**as_partner)),
        await reason(verifier, forge.token(header={"kid": "partner"}, key=forge.other_rsa)),
        await reason(
            verifier, forge.token(header=ec, key=forge.ec, algorithm="ES256", **as_partner | {"aud": "orders"})
        ),
        await reason(verifier, forge.token(header=ec, key=forge.ec, algorithm="ES256", aud="partner")),
    ] == ["ok", "token_signature", "token_signature", "token_audience", "token_audience"]


async def test_a_lone_key_needs_no_kid(start: Start, settings: IssuerSettings, forge: Forge, tmp_path: Path) -> None:
    """A token without `kid` is verified when the issuer has one key; one with another `kid` is not."""
    file = tmp_path / "lone.json"
    file.write_text(json.dumps({"keys": [jwk(forge.rsa)]}))
    verifier = await start(msgspec.structs.replace(settings, keys=str(file)))
    assert [
        await reason(verifier, forge.token(header={"kid": ...})),
        await reason(verifier, forge.token(header={"kid": "rsa"})),
        await reason(verifier, forge.token(header={"kid": ...}, key=forge.other_rsa)),
    ] == ["ok", "token_signature", "token_signature"]


async def test_a_refusal_keeps_five_bounded_claims(verifier: Verifier, forge: Forge) -> None:
    """Of a refused token only iss, aud, kid, exp and alg are kept, cut at 256 characters."""
    token = forge.token(header={"kid": "k" * 300}, iss="i" * 300, aud=["a" * 200, "b" * 200], exp=5, email="ann@x.org")
    assert await verify(verifier, token) == TokenRefusal(
        "token_issuer",
        UnverifiedClaims(iss="i" * 256, aud="a" * 200 + " " + "b" * 55, kid="k" * 256, exp=5, alg="RS256"),
    )


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        ("garbage", None),
        ("e30.e30.e30", None),
        ("eyJhbGciOiAxfQ.e30.e30", None),
        ("!", None),
        # {"alg":"none"} . {"exp":1e3,"aud":{},"iss":["x"]}
        ("eyJhbGciOiJub25lIn0.eyJleHAiOjFlMywiYXVkIjp7fSwiaXNzIjpbIngiXX0.e30", UnverifiedClaims(alg="none")),
        # an integer that no record could hold
        ("e30.eyJleHAiOjk5OTk5OTk5OTk5OTk5OTk5OTk5OTl9.e30", None),
        ("e30.eyJleHAiOnRydWV9.e30", None),
    ],
)
async def test_only_strings_and_integers_are_kept_of_a_refused_token(
    token: str, kept: UnverifiedClaims | None, verifier: Verifier
) -> None:
    """What is not a plain string or a 64 bit integer is not written down."""
    verdict = await verify(verifier, token)
    assert isinstance(verdict, TokenRefusal)
    assert verdict.unverified == kept


async def test_an_unforeseen_error_is_a_refusal(
    verifier: Verifier, forge: Forge, monkeypatch: pytest.MonkeyPatch, logged: LogCapture
) -> None:
    """Whatever a library raises is `token_malformed`, never an allow or an exception; only its kind is logged."""

    def broken(*_: object, **__: object) -> object:
        raise KeyError(forge.token())

    monkeypatch.setattr(verifier_module._jws, "decode_complete", broken)
    assert await reason(verifier, forge.token()) == "token_malformed"
    assert [entry for entry in logged.entries if entry["log_level"] == "error"] == [
        {"event": "token_check_failed", "error": "KeyError", "log_level": "error"}
    ]


async def test_nothing_of_a_token_is_logged(verifier: Verifier, forge: Forge, logged: LogCapture) -> None:
    """Logs of good and bad tokens hold no part of them, and neither does the text of a token object."""
    for token in (forge.token(), forge.token(aud="other"), forge.token(key=forge.other_rsa), forge.token(exp=1)):
        await verify(verifier, token)
        shown = f"{logged.entries!r} {BearerToken(token)!r} {verifier!r}"
        assert not [part for part in [*token.split("."), "ann"] if part in shown]


async def test_a_verifier_without_issuers_refuses_all(start: Start, forge: Forge) -> None:
    """No issuer, no token: nothing is accepted by default."""
    assert await reason(await start(), forge.token()) == "token_issuer"


async def test_a_closed_verifier_refuses_all(verifier: Verifier, forge: Forge) -> None:
    """After close not even a remembered token counts."""
    assert await reason(verifier, forge.token()) == "ok"
    await verifier.close()
    assert await reason(verifier, forge.token()) == "token_issuer"


@pytest.fixture
async def judged(verifier: Verifier, forge: Forge) -> Callable[[str], object]:
    """Verify from synchronous code: once keys are there, nothing but an unknown kid waits for anything."""
    assert await reason(verifier, forge.token()) == "ok"

    def judge(token: str) -> object:
        coroutine = verifier.verify(BearerToken(token))
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("it waited")

    return judge


_SEGMENT = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", max_size=60)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "iss", "aud", "sub", "exp", "nbf", "iat", "roles", "scope", "cnf"]
)


async def test_any_text_is_a_refusal(judged: Callable[[str], object], examples: int) -> None:
    """Arbitrary text, bytes and segments get a refusal that can be written down; nothing raises."""

    @hypothesis_settings(max_examples=examples, deadline=None)
    @given(
        st.text()
        | st.binary().map(lambda data: data.decode("latin-1"))
        | st.lists(_SEGMENT, min_size=2, max_size=4).map(".".join)
    )
    def run(token: str) -> None:
        verdict = judged(token)
        assert isinstance(verdict, TokenRefusal)
        msgspec.json.encode(verdict)

    run()


async def test_any_claims_are_a_subject_or_a_refusal(
    judged: Callable[[str], object], forge: Forge, examples: int
) -> None:
    """Well signed tokens with arbitrary JSON in them never raise, and every subject can be given to the policy."""

    @hypothesis_settings(max_examples=examples, deadline=None)
    @given(st.dictionaries(_NAMES, _JSON, max_size=4), st.dictionaries(_NAMES, _JSON, max_size=4))
    def run(header: dict[str, Any], claims: dict[str, Any]) -> None:
        if header.get("kid", "") not in ("rsa", "ec", "ed"):
            header["kid"] = "rsa"  # an unknown one would have us wait for the issuer
        header["alg"] = "RS256"
        verdict = judged(forge.token(header=header, **claims))
        assert isinstance(verdict, Subject | TokenRefusal)
        if isinstance(verdict, Subject):
            subject_document(verdict)
        msgspec.json.encode(verdict)

    run()
