"""An identity provider as they are in the field, from configuration to decision."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from authz.config import load
from tests.http.conftest import Start

ISSUER = "https://keycloak.example/realms/shop"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The realm's key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def certs(key: rsa.RSAPrivateKey) -> AsyncIterator[str]:
    """The realm's certs endpoint: RS256 for signatures beside a key for encryption, as Keycloak has it."""
    signing = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    keys = [
        {**signing, "kid": "sig-1", "use": "sig", "alg": "RS256"},
        {**signing, "kid": "enc-1", "use": "enc", "alg": "RSA-OAEP"},
    ]

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"keys": keys})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site.port}/certs"
    await runner.cleanup()


@pytest.fixture
def issue(key: rsa.RSAPrivateKey) -> Callable[..., str]:
    """Issues access tokens with the claims Keycloak puts there."""

    def issued(**changes: Any) -> str:
        now = int(time.time())
        claims = {
            "exp": now + 300,
            "iat": now,
            "jti": "onrtac:7c6b",
            "iss": ISSUER,
            "aud": "account",
            "sub": "f3b2a9d4-0000-4b1f-9c5e-alice",
            "typ": "Bearer",
            "azp": "shop-frontend",
            "sid": "b0c6f1f7",
            "acr": "1",
            "allowed-origins": ["https://shop.example"],
            "realm_access": {"roles": ["default-roles-shop", "offline_access", "uma_authorization", "user_basic"]},
            "resource_access": {"account": {"roles": ["manage-account"]}},
            "scope": "openid profile email",
            "email_verified": True,
            "preferred_username": "alice",
            **changes,
        }
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "sig-1", "typ": "JWT"})

    return issued


async def test_keycloak_takes_four_lines(start: Start, certs: str, issue: Callable[..., str], tmp_path: Path) -> None:
    """Nested roles among ones we do not know, OpenID's scopes, a certs endpoint: four lines, and it decides."""
    file = tmp_path / "authz.toml"
    file.write_text(
        f'[[issuers]]\nissuer = "{ISSUER}"\naudiences = ["account"]\nalgorithms = ["RS256"]\nkeys = "{certs}"\n'
    )
    issuer = load(file, {}, {"dev": True}).issuers[0]
    running = await start(
        issuers=[{name: getattr(issuer, name) for name in ("issuer", "audiences", "algorithms", "keys")}]
    )

    granted = await running.check("GET", "/memory", token=issue())
    denied = await running.check("PUT", "/admin/config", token=issue())
    refused = [
        (await running.check("GET", "/memory", token=token)).body["reason"]
        for token in (
            issue(aud="another"),
            issue(iss="https://evil.example"),
            issue(exp=int(time.time()) - 60),
            issue(nbf=int(time.time()) + 600),
            issue(typ="ID"),
        )
    ]

    assert (granted.status, denied.status) == (200, 403)
    assert {name: value for name, value in granted.headers.items() if name.startswith("x-authz")} == {
        "x-authz-subject": "f3b2a9d4-0000-4b1f-9c5e-alice",
        "x-authz-roles": "default-roles-shop,offline_access,uma_authorization,user_basic",
        "x-authz-scopes": "memory:read",
    }
    assert refused == ["token_audience", "token_issuer", "token_expired", "token_not_yet_valid", "token_type"]
    event = (await running.events(reason="token_audience"))[0]
    assert event["unverified"]["iss"] == ISSUER
    assert event["unverified"]["aud"] == "another"
    assert "subject" not in event


async def test_no_keys_is_undecided(start: Start, issue: Callable[..., str]) -> None:
    """While an issuer's keys cannot be had its tokens are 503, not the user's fault; readiness says why."""
    running = await start(
        issuers=[
            {"issuer": ISSUER, "audiences": ["account"], "algorithms": ["RS256"], "keys": "http://127.0.0.1:9/certs"}
        ]
    )

    checked = await running.check("GET", "/memory", token=issue())
    public = await running.check("GET", "/health", token=issue())
    ready = await running.send("GET", f"{running.admin}/readyz")

    assert (checked.status, checked.body["reason"], public.status) == (503, "keys_unavailable", 200)
    assert (ready.status, ready.body["checks"][f"keys:{ISSUER}"]["ok"]) == (503, False)
