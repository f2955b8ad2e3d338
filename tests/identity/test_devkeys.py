"""Development tokens: made by one command, accepted by `--dev` with the same state directory, and nowhere else."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from authz.cli.token import token
from authz.core import ConfigurationError, Subject
from authz.identity import DEV_AUDIENCE, DEV_ISSUER, IssuerSettings, Pseudonymiser, Verifier, dev_issuer, mint_token
from tests.identity.conftest import RealClock, reason, verify


@pytest.fixture
async def dev(tmp_path: Path, pseudonyms: Pseudonymiser) -> AsyncIterator[Verifier]:
    """A verifier as `--dev` makes it."""
    verifier = Verifier([dev_issuer(tmp_path)], pseudonyms, RealClock())
    await verifier.start()
    yield verifier
    await verifier.close()


async def test_a_development_token_is_what_was_asked_for(dev: Verifier, tmp_path: Path) -> None:
    """Subject, roles, scopes and allow-listed claims arrive; other claims stay in the token."""
    minted = mint_token(tmp_path, "ann", ["user", "support"], ["memory:read"], 60, {"acr": "2", "shoe": 43, "sid": "s"})
    assert await verify(dev, minted) == Subject(
        type="user",
        id="ann",
        source="token",
        pseudonym="h1:3eb1bd43:UEo9mkX5MesAOBx3dMhvFA",
        roles=("user", "support"),
        scopes=("memory:read",),
        issuer=DEV_ISSUER,
        properties={"claims": {"acr": "2"}},
        session_id="s",
    )


async def test_without_scopes_nothing_restricts(dev: Verifier, tmp_path: Path) -> None:
    """No scopes given is no scope claim, which is not the same as an empty one."""
    without = await verify(dev, mint_token(tmp_path, "ann"))
    with_none = await verify(dev, mint_token(tmp_path, "ann", scopes=[]))
    assert [verdict.scopes for verdict in (without, with_none) if isinstance(verdict, Subject)] == [None, ()]


def test_the_header_says_what_it_is(tmp_path: Path) -> None:
    """An Ed25519 access token (RFC 9068), for the development audience, naming the key of the public file."""
    minted = mint_token(tmp_path, "ann", ttl_seconds=60)
    dev_issuer(tmp_path)
    (key,) = json.loads((tmp_path / "keys" / "dev-token.jwks.json").read_text())["keys"]
    assert jwt.get_unverified_header(minted) == {"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"]}
    claims = jwt.decode(minted, jwt.PyJWK(key), algorithms=["EdDSA"], audience=DEV_AUDIENCE, issuer=DEV_ISSUER)
    assert claims["exp"] - claims["iat"] == 60


async def test_tokens_of_another_state_directory_do_not_count(dev: Verifier, tmp_path: Path) -> None:
    """Each state directory has a key of its own."""
    assert await reason(dev, mint_token(tmp_path / "other", "ann")) == "token_signature"


async def test_an_issuer_must_be_configured_to_count(
    tmp_path: Path, settings: IssuerSettings, pseudonyms: Pseudonymiser
) -> None:
    """Outside --dev the development issuer is an issuer like any other that nobody configured."""
    verifier = Verifier([settings], pseudonyms, RealClock())
    await verifier.start()
    assert await reason(verifier, mint_token(tmp_path, "ann")) == "token_issuer"
    await verifier.close()


def test_the_private_key_is_private_and_stays(tmp_path: Path) -> None:
    """Made once, 0600; the public file holds no private part and is repaired when it does not fit."""
    first = dev_issuer(tmp_path)
    private, public = tmp_path / "keys" / "dev-token.key", tmp_path / "keys" / "dev-token.jwks.json"
    before = private.read_bytes(), public.read_bytes()
    assert oct(private.stat().st_mode & 0o777) == "0o600"
    assert sorted(json.loads(before[1])["keys"][0]) == ["alg", "crv", "kid", "kty", "use", "x"]
    public.write_text("{}")
    assert dev_issuer(tmp_path) == first
    assert (private.read_bytes(), public.read_bytes()) == before


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\xff"])
def test_a_spoilt_key_is_named(content: bytes, tmp_path: Path) -> None:
    """A file that is no Ed25519 key is not replaced silently: the message says which, and what to do."""
    path = tmp_path / "keys" / "dev-token.key"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        mint_token(tmp_path, "ann")
    assert str(raised.value) == f"{path} is not an Ed25519 private key; remove it and a new one is made"


def test_claims_cannot_overrule_options(tmp_path: Path) -> None:
    """A claim that is set by an option, or by us, is refused."""
    with pytest.raises(ConfigurationError, match="claims exp, iss have options of their own"):
        mint_token(tmp_path, "ann", claims={"iss": "x", "exp": 1, "acr": "1"})


async def test_the_command_prints_the_token_alone(dev: Verifier, tmp_path: Path) -> None:
    """`authz token` prints one line that the running verifier accepts."""
    options = ["--sub", "ann", "--role", "user", "--role", "support", "--scope", "memory:read", "--claim", 'acr="2"']
    line = [sys.executable, "-m", "authz", "token", "--state", str(tmp_path), *options, "--ttl", "60"]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    verdict = await verify(dev, done.stdout.strip())
    assert isinstance(verdict, Subject)
    assert (verdict.id, verdict.roles, verdict.scopes) == ("ann", ("user", "support"), ("memory:read",))


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("acr", "'acr' is not NAME=JSON"),
        ("=1", "'=1' is not NAME=JSON"),
        ("acr=two", "acr: 'two' is not JSON; a string needs quotes: acr='\"...\"'"),
    ],
)
def test_a_claim_that_is_not_json_is_a_usage_error(claim: str, message: str, tmp_path: Path) -> None:
    """Exit code 2, the reason on stderr, nothing on stdout."""
    done = CliRunner().invoke(token, ["--state", str(tmp_path), "--sub", "ann", "--claim", claim])
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
