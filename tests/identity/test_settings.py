"""Settings that cannot be safe are refused before a token is looked at, with the key that is to blame."""

import re
from typing import Any

import msgspec
import pytest

from authz.core import ConfigurationError
from authz.identity import IssuerSettings, Pseudonymiser, Verifier, check_issuers
from tests.identity.conftest import FakeClock

GOOD = IssuerSettings(
    issuer="https://idp.example", audiences=("orders",), algorithms=("RS256",), keys="https://idp.example/jwks"
)


def refusal(*issuers: IssuerSettings) -> str:
    """The message of the refusal, empty when there is none."""
    try:
        check_issuers(issuers)
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512", "none", "None", "rs256", "ES256K", "RSA1_5"])
def test_only_asymmetric_algorithms_can_be_allowed(name: str) -> None:
    """An issuer with a shared secret, or none at all, is refused; the message lists what may stand there."""
    assert refusal(GOOD, msgspec.structs.replace(GOOD, issuer="b", algorithms=("RS256", name))) == (
        f"issuers[1].algorithms: '{name}' is not allowed; only asymmetric algorithms are: "
        "ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"issuer": ""}, "issuers[0].issuer: must not be empty"),
        ({"keys": ""}, "issuers[0].keys: must not be empty"),
        ({"subject_type": ""}, "issuers[0].subject_type: must not be empty"),
        ({"scopes_claim": ""}, "issuers[0].scopes_claim: must not be empty"),
        ({"audiences": ()}, "issuers[0].audiences: must list at least one value, and no empty one"),
        ({"audiences": ("",)}, "issuers[0].audiences: must list at least one value, and no empty one"),
        ({"algorithms": ()}, "issuers[0].algorithms: must list at least one value, and no empty one"),
        ({"token_types": ()}, "issuers[0].token_types: must list at least one value, and no empty one"),
        ({"keys": "ftp://idp.example/jwks"}, "issuers[0].keys: must be a file or an https:// URL"),
        ({"keys": "https:///jwks"}, "issuers[0].keys: must be a file or an https:// URL"),
        ({"keys": "https://[::1/jwks"}, "issuers[0].keys: must be a file or an https:// URL"),
        ({"keys": "https://u:hush@idp.example/"}, "issuers[0].keys: must not hold a user name or a password"),
        ({"keys": "https://hush@idp.example/"}, "issuers[0].keys: must not hold a user name or a password"),
        ({"leeway_seconds": -1}, "issuers[0].leeway_seconds: must be 0 to 300"),
        ({"leeway_seconds": 301}, "issuers[0].leeway_seconds: must be 0 to 300"),
        ({"max_lifetime_seconds": 0}, "issuers[0].max_lifetime_seconds: must be more than 0"),
        *(
            (
                {"keys": f"http://{host}/jwks"},
                (
                    "issuers[0].keys: http:// is only for loopback, whoever is on the path could hand out keys; "
                    "use https:// (or state issuers[0].keys_over_http = true)"
                ),
            )
            for host in ("idp.example", "localhost.example", "10.0.0.1", "127.0.0.1.example", "[2001:db8::1]")
        ),
    ],
)
def test_a_refusal_names_the_key(change: dict[str, Any], message: str) -> None:
    """Empty, unreachable and unsafe values are refused, each with its place in the configuration."""
    assert refusal(msgspec.structs.replace(GOOD, **change)) == message


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"keys": "keys/idp.jwks.json"},
        {"keys": "http://127.0.0.1:9000/jwks"},
        {"keys": "http://[::1]:9000/jwks"},
        {"keys": "http://localhost/jwks"},
        {"keys": "http://idp.example/jwks", "keys_over_http": True},
        {"leeway_seconds": 0, "max_lifetime_seconds": 31_536_000},
        {"algorithms": ("EdDSA", "PS512", "ES384")},
    ],
)
def test_what_is_safe_is_accepted(change: dict[str, Any]) -> None:
    """Files, https, http to loopback or by express wish, any asymmetric algorithm."""
    assert refusal(msgspec.structs.replace(GOOD, **change)) == ""


def test_an_issuer_is_listed_once() -> None:
    """Two entries for one issuer would leave open which of them judges a token."""
    assert refusal(GOOD, GOOD) == "issuers[1].issuer: 'https://idp.example' is listed twice"


def test_a_verifier_cannot_be_made_of_bad_settings(pseudonyms: Pseudonymiser, clock: FakeClock) -> None:
    """The verifier checks for itself, whoever built the settings."""
    with pytest.raises(ConfigurationError, match=re.escape("issuers[0].algorithms")):
        Verifier([msgspec.structs.replace(GOOD, algorithms=("HS256",))], pseudonyms, clock)


def test_unknown_settings_are_refused() -> None:
    """A misspelled key is an error, not a default."""
    with pytest.raises(msgspec.ValidationError, match="audience"):
        msgspec.convert({**msgspec.to_builtins(GOOD), "audience": "orders"}, IssuerSettings)
