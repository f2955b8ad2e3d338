"""Witnesses and anchors as they are stated: what cannot be used is refused, with its key."""

from pathlib import Path

import pytest

from authz.anchoring import check_outward
from authz.anchoring.configured import anchor_at
from authz.anchoring.directory import DirectoryAnchor
from authz.anchoring.endpoint import HttpAnchor
from authz.anchoring.outside import open_session
from authz.config import AnchorSettings, AuditSettings, WitnessSettings, load
from authz.core import ConfigurationError
from authz.tlog import CosignerSigner
from tests.witness.logs import COSIGNER, SIGNER

KEY = COSIGNER.vkey
OTHER = CosignerSigner("witness.example/w2", bytes(32)).vkey


def _refusal(settings: AuditSettings) -> str:
    with pytest.raises(ConfigurationError) as refused:
        check_outward(settings)
    return str(refused.value)


def test_what_can_be_used_is_taken() -> None:
    """https anywhere, http to loopback, directories; more than one of each."""
    check_outward(
        AuditSettings(
            witnesses=(
                WitnessSettings(url="https://witness.example/prefix/", key=KEY),
                WitnessSettings(url="http://127.0.0.1:8090", key=OTHER),
            ),
            anchors=(
                AnchorSettings(to="file:/mnt/a"),
                AnchorSettings(to="file:///mnt/b", every_seconds=1),
                AnchorSettings(to="https://anchors.example:8443/node", token_file="/run/token"),
                AnchorSettings(to="http://[::1]:9000"),
                AnchorSettings(to="http://localhost/x"),
            ),
        )
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("witness.example", "must be an https:// URL without query and fragment"),
        ("ftp://witness.example", "must be an https:// URL without query and fragment"),
        ("https://", "must be an https:// URL without query and fragment"),
        ("https://[::1", "must be an https:// URL without query and fragment"),
        ("https://witness.example:99999", "must be an https:// URL without query and fragment"),
        ("https://witness.example?x=1", "must be an https:// URL without query and fragment"),
        ("https://witness.example#x", "must be an https:// URL without query and fragment"),
        ("https://me:pass@witness.example", "must not hold a user name or a password"),
        ("http://witness.example", "http:// is only for loopback; use https://"),
        ("http://10.0.0.1", "http:// is only for loopback; use https://"),
        ("http://localhost.example", "http:// is only for loopback; use https://"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, said: str) -> None:
    """Of a witness and of an anchor alike."""
    assert _refusal(AuditSettings(witnesses=(WitnessSettings(url=url, key=KEY),))) == f"audit.witnesses[0].url: {said}"
    assert _refusal(AuditSettings(anchors=(AnchorSettings(to=url),))) == f"audit.anchors[0].to: {said}"


def test_a_key_that_is_none_is_refused() -> None:
    """A log's key is not a witness's; and the same witness twice would count as two."""
    url = "https://witness.example"
    for key in ("", "x", str(SIGNER.verifier), KEY[:-4]):
        said = _refusal(AuditSettings(witnesses=(WitnessSettings(url=url, key=key),)))
        assert said.startswith("audit.witnesses[0].key: verifier key")
    twice = AuditSettings(witnesses=(WitnessSettings(url=url, key=KEY), WitnessSettings(url=f"{url}/b", key=KEY)))
    assert _refusal(twice) == "audit.witnesses[1].key: a witness named 'witness.example/w1' is listed already"


@pytest.mark.parametrize("to", ["file:anchors", "file:", "file://host/dir", "file:../x"])
def test_a_directory_has_to_be_absolute(to: str) -> None:
    """A relative one would depend on where the auditor was started."""
    said = "audit.anchors[0].to: must be file: and an absolute path, such as file:/mnt/anchor"
    assert _refusal(AuditSettings(anchors=(AnchorSettings(to=to),))) == said


def test_an_anchor_is_stated_once_and_fully() -> None:
    """Twice the same is a slip; a token belongs to a URL."""
    one = AnchorSettings(to="file:/mnt/a")
    assert _refusal(AuditSettings(anchors=(one, one))) == "audit.anchors[1].to: file:/mnt/a is listed already"
    with_token = AnchorSettings(to="file:/mnt/a", token_file="/run/token")
    assert _refusal(AuditSettings(anchors=(with_token,))) == "audit.anchors[0].token_file: a directory takes no token"


async def test_an_anchor_is_made_as_it_is_stated() -> None:
    """Both ways to write a directory mean the same one."""
    async with open_session() as session:
        for to in ("file:/mnt/a", "file:///mnt/a"):
            made = anchor_at(AnchorSettings(to=to), session)
            assert isinstance(made, DirectoryAnchor)
            assert (made.name, made._directory) == (to, Path("/mnt/a"))
        over_http = anchor_at(AnchorSettings(to="https://a.example/x/", token_file="/run/token"), session)
        assert isinstance(over_http, HttpAnchor)
        assert (over_http.name, over_http._token_file) == ("https://a.example/x/", Path("/run/token"))


def test_they_are_stated_in_toml(tmp_path: Path) -> None:
    """As tables of [audit], or as JSON in the environment."""
    file = tmp_path / "authz.toml"
    file.write_text(
        f'dev = true\n[[audit.witnesses]]\nurl = "https://w.example"\nkey = "{KEY}"\n'
        '[[audit.anchors]]\nto = "file:/mnt/a"\nevery_seconds = 5\n'
    )
    audit = load(file, {}).audit
    assert (audit.witnesses, audit.anchors) == (
        (WitnessSettings(url="https://w.example", key=KEY),),
        (AnchorSettings(to="file:/mnt/a", every_seconds=5),),
    )
    environment = {"AUTHZ_DEV": "true", "AUTHZ_AUDIT__ANCHORS": '[{"to": "file:/mnt/b"}]'}
    assert load(None, environment).audit.anchors == (AnchorSettings(to="file:/mnt/b"),)
