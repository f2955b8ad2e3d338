"""`[audit.fields]`: what each word does to each field, and what cannot be meant."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from authz.config import AuditSettings, FieldSettings, load
from authz.core import KEPT, ConfigurationError, Treatment
from authz.privacy import Opener, Privacy, new_team_key
from authz.privacy.fields import read_fields
from authz.privacy.sealing import Sealer
from tests.fakes import FakePseudonyms, pseudonym

PRIVATE = X25519PrivateKey.generate()
SEALER, OPENER = Sealer(PRIVATE.public_key()), Opener(PRIVATE)
TREATMENTS: tuple[Treatment, ...] = ("hash", "clear", "drop")


def opened(value: str | None) -> str | None:
    return f"opened {OPENER.field(value)}" if value is not None and value.startswith("s1:") else value


@pytest.mark.parametrize(
    ("how", "address", "agent", "params"),
    [
        ("keep", "203.0.113.7", "curl/8", [pseudonym("v"), "v", None]),
        ("drop", None, None, [None, None, None]),
        ("coarsen", "203.0.113.0/24", "curl", [pseudonym("v"), pseudonym("v"), None]),
        ("encrypt", "opened 203.0.113.7", "opened curl/8", ["opened v", "opened v", None]),
    ],
)
def test_every_word_for_every_field(how: Any, address: str | None, agent: str | None, params: list[str | None]) -> None:
    """keep, drop, coarsen and encrypt, for addresses, agents and parameters; what is not there stays away."""
    fields = read_fields(FieldSettings(ip=how, user_agent=how, params=how), SEALER)
    assert opened(fields.ip("203.0.113.7")) == address
    assert opened(fields.user_agent("curl/8")) == agent
    assert [opened(fields.param("v", each, FakePseudonyms())) for each in TREATMENTS] == params
    assert (fields.ip(None), fields.user_agent(None), fields.ip("")) == (None, None, None)


def test_what_is_kept_costs_nothing() -> None:
    """Without settings the core does what it always did: not one call more."""
    assert read_fields(FieldSettings(), None) is KEPT
    only_session = read_fields(FieldSettings(session_id="drop"), None)
    assert (only_session.ip, only_session.user_agent, only_session.param) == (KEPT.ip, KEPT.user_agent, KEPT.param)
    assert not only_session.session_id


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (AuditSettings(names=True), r"audit\.names: needs the security team's public key"),
        (AuditSettings(fields=FieldSettings(ip="encrypt")), r"audit\.fields\.ip: needs the security team"),
        (
            AuditSettings(fields=FieldSettings(user_agent="encrypt")),
            r"audit\.fields\.user_agent: needs the security team",
        ),
        (AuditSettings(fields=FieldSettings(params="encrypt")), r"audit\.fields\.params: needs the security team"),
        (
            AuditSettings(privacy="salts", fields=FieldSettings(params="encrypt"), security_key="team.pub"),
            r"audit\.fields\.params: encrypted parameters stay readable",
        ),
        (AuditSettings(security_key="/nowhere/team.pub"), r"/nowhere/team\.pub: cannot be read"),
        (AuditSettings(pseudonym_key="/nowhere/key"), r"the pseudonym key /nowhere/key cannot be read"),
        (AuditSettings(privacy="salts", identities="/proc/none/x.db"), r"audit\.identities: /proc/none/x\.db cannot"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, settings: AuditSettings, message: str) -> None:
    """A setting that cannot hold what it promises stops the start, by its name."""
    with pytest.raises(ConfigurationError, match=message):
        Privacy(settings, tmp_path)


def test_the_settings_themselves_are_refused() -> None:
    """`authz config check` finds it before a start does."""
    with pytest.raises(ConfigurationError, match=r"audit\.names: needs the security team's public key"):
        load(None, {}, {"dev": True, "audit.names": True})


def test_nothing_is_sealed_to_nobody() -> None:
    """Without a key there is no sealing, whoever asks."""
    with pytest.raises(ConfigurationError, match=r"audit\.security_key: is needed"):
        read_fields(FieldSettings(ip="encrypt"), None)


def test_keyed_pseudonyms_alone_keep_no_table(tmp_path: Path) -> None:
    """Without salts and names nothing is kept of anybody."""
    new_team_key(tmp_path / "team.key", tmp_path / "team.pub")
    privacy = Privacy(AuditSettings(security_key=str(tmp_path / "team.pub")), tmp_path / "state")
    assert privacy.identities is None
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["keys"]
