"""What the identity tests share: keys, a forge that makes any token, good or bad, and an issuer on loopback."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from structlog.testing import LogCapture

from authz.core import BearerToken, Subject, TokenRefusal
from authz.identity import IssuerSettings, Pseudonymiser, Verifier, jwks
from authz.identity import verifier as verifier_module

ISSUER = "https://idp.example/realms/shop"
NOW = 1_800_000_000
ALGORITHMS = jwt.algorithms.get_default_algorithms()


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The inverse of b64."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class FakeClock:
    """A core.Clock that moves when told."""

    def __init__(self) -> None:
        self.wall = float(NOW)
        self.mono = 1000.0

    def now(self) -> float:
        return self.wall

    def elapsed(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


class RealClock:
    """A core.Clock that moves by itself."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic)


def jwk(key: Any, **members: object) -> dict[str, Any]:
    """The public JWK of a private key."""
    public = key.public_key()
    kind = {"RSAPublicKey": "RS256", "ECPublicKey": "ES256", "Ed25519PublicKey": "EdDSA"}[type(public).__name__]
    made: dict[str, Any] = ALGORITHMS[kind].to_jwk(public, as_dict=True)
    made.pop("key_ops", None)
    return {**made, **members}


class Forge:
    """Makes tokens part by part, so that each part can be wrong."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.other_rsa = rsa.generate_private_key(65537, 2048)
        self.small_rsa = rsa.generate_private_key(65537, 1024)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ec384 = ec.generate_private_key(ec.SECP384R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()

    def document(self) -> dict[str, Any]:
        """The JWK Set of the issuer of the corpus: an RSA key, an EC key, an Ed25519 key."""
        return {
            "keys": [
                jwk(self.rsa, kid="rsa", alg="RS256", use="sig"),
                jwk(self.ec, kid="ec"),
                jwk(self.ed, kid="ed", alg="EdDSA"),
            ]
        }

    def claims(self, **changes: object) -> dict[str, Any]:
        """Good claims; a change to `...` takes one out."""
        claims = {
            "iss": ISSUER,
            "aud": "orders",
            "sub": "ann",
            "iat": NOW - 60,
            "exp": NOW + 300,
            "roles": ["user"],
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not ...}

    def signed(self, header: bytes, payload: bytes, key: Any, algorithm: str = "RS256") -> str:
        """Any bytes as header and payload, well signed."""
        signing_input = f"{b64(header)}.{b64(payload)}"
        return f"{signing_input}.{b64(ALGORITHMS[algorithm].sign(signing_input.encode(), key))}"

    def token(
        self,
        claims: object = None,
        header: dict[str, Any] | None = None,
        key: Any = None,
        algorithm: str = "RS256",
        **changes: Any,
    ) -> str:
        """A good token of the RSA key, but for what is given. A header member `...` is left out."""
        payload = self.claims(**changes) if claims is None else claims
        members = {"alg": algorithm, "kid": "rsa", "typ": "at+jwt", **(header or {})}
        members = {name: value for name, value in members.items() if value is not ...}
        return self.signed(_json(members), _json(payload), key or self.rsa, algorithm)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pseudonyms() -> Pseudonymiser:
    return Pseudonymiser(b"0123456789abcdef0123456789abcdef")


@pytest.fixture
def key_file(forge: Forge, tmp_path: Path) -> Path:
    path = tmp_path / "keys.jwks.json"
    path.write_bytes(_json(forge.document()))
    return path


@pytest.fixture
def settings(key_file: Path) -> IssuerSettings:
    return IssuerSettings(
        issuer=ISSUER, audiences=("orders", "billing"), algorithms=("RS256", "ES256", "EdDSA"), keys=str(key_file)
    )


Start = Callable[..., Awaitable[Verifier]]


@pytest.fixture
async def start(clock: FakeClock, pseudonyms: Pseudonymiser) -> AsyncIterator[Start]:
    """Starts verifiers, and closes them after the test."""
    started: list[Verifier] = []

    async def begin(*issuers: IssuerSettings, **options: Any) -> Verifier:
        verifier = Verifier(issuers, pseudonyms, clock, **options)
        started.append(verifier)
        await verifier.start()
        return verifier

    yield begin
    for verifier in started:
        await verifier.close()


@pytest.fixture
async def verifier(start: Start, settings: IssuerSettings) -> Verifier:
    return await start(settings)


async def verify(verifier: Verifier, token: str) -> Subject | TokenRefusal:
    """What the verifier says of a token; the name that it gives the token, and its end, have tests of their own."""
    verdict = await verifier.verify(BearerToken(token))
    return verdict if isinstance(verdict, TokenRefusal) else msgspec.structs.replace(verdict, token_id=None, until=None)


async def reason(verifier: Verifier, token: str) -> str:
    """The reason of a refusal, `ok` when there is none."""
    verdict = await verify(verifier, token)
    return verdict.reason if isinstance(verdict, TokenRefusal) else "ok"


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What the room logged, as events; nothing is printed, however logging was set up by other tests."""
    captured = LogCapture()
    for module in (jwks, verifier_module):
        monkeypatch.setattr(module, "_log", structlog.wrap_logger(None, processors=[captured]))
    return captured


class IdentityProvider:
    """A JWKS endpoint that does as it is told."""

    def __init__(self) -> None:
        self.body: bytes = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.fetches = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.url = ""

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = _json({"keys": list(keys)})

    async def answer(self, request: web.Request) -> web.Response:
        self.fetches += 1
        await self.answering.wait()
        return web.Response(body=self.body, status=self.status, headers=self.headers)


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    made = IdentityProvider()
    application = web.Application()
    application.router.add_get("/jwks", made.answer)
    application.router.add_get("/elsewhere", made.answer)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    made.url = str(server.make_url("/jwks"))
    yield made
    made.answering.set()
    with suppress(TimeoutError):
        await server.close()


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)
