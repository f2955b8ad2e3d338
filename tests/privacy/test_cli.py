"""`authz keys pseudonyms`, `authz keys team` and what `authz audit erase` needs: what is said, with which exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz.audit import get_audit_events
from authz.cli import program
from authz.privacy.keyring import DEFAULT_KEY, load_or_create_keyring
from tests.audit.signed_ledger import accessed, append_all


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with one event, and a key; AUTHZ_STATE names it."""
    state = tmp_path / "state"
    append_all(state / "audit", "worker-0", [accessed(1)])
    load_or_create_keyring(state / DEFAULT_KEY)
    monkeypatch.setenv("AUTHZ_STATE", str(state))
    return state


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def test_list_rotate_destroy(state: Path) -> None:
    """Each says which keys it is about, and rotating and destroying are records."""
    first = json.loads(run("keys", "pseudonyms", "list", "--json").stdout)
    rotated = json.loads(run("keys", "pseudonyms", "rotate", "--json").stdout)
    assert rotated["old"] == first["current"]
    assert run("keys", "pseudonyms", "list").stdout == f"{rotated['new']}  in force\n{rotated['old']}  for search\n"
    asked = CliRunner().invoke(program, ["keys", "pseudonyms", "destroy", rotated["old"]], input="n\n")
    assert (asked.exit_code, len(json.loads(run("keys", "pseudonyms", "list", "--json").stdout)["old"])) == (1, 1)
    done = run("keys", "pseudonyms", "destroy", rotated["old"], "--yes", "--json")
    assert json.loads(done.stdout) == {"destroyed": rotated["old"], "identities": 0}
    assert json.loads(run("keys", "pseudonyms", "list", "--json").stdout) == {"current": rotated["new"], "old": []}
    again = run("keys", "pseudonyms", "destroy", rotated["old"], "--yes")
    assert (again.exit_code, again.stderr[:9]) == (1, "refused: ")
    events = [
        (event["type"], event["key_id"])
        for event in get_audit_events(path=state)
        if event["type"].startswith("audit.pseudonym")
    ]
    assert events == [
        ("audit.pseudonym_key_destroyed", rotated["old"]),
        ("audit.pseudonyms_rotated", rotated["new"]),
    ]


def test_keys_before_there_is_a_ledger(tmp_path: Path) -> None:
    """A key elsewhere can be rotated for an installation that has recorded nothing yet."""
    file = tmp_path / "etc" / "pseudonym.key"
    load_or_create_keyring(file)
    done = run("keys", "pseudonyms", "rotate", "--state", tmp_path / "state", "--pseudonym-key", file)
    assert (done.exit_code, "takes the place of" in done.stdout) == (0, True)
    assert not (tmp_path / "state").exists()


def test_team(tmp_path: Path) -> None:
    """A pair is made once; what is there is not written over."""
    words = ("keys", "team", "--private", tmp_path / "team.key", "--public", tmp_path / "team.pub")
    made = run(*words, "--json")
    assert (made.exit_code, len(json.loads(made.stdout)["key_id"])) == (0, 8)
    private = (tmp_path / "team.key").read_bytes()
    again = run(*words)
    assert isinstance(again.exception, Exception)
    assert "is there already" in str(again.exception)
    assert (tmp_path / "team.key").read_bytes() == private


def test_erase_without_a_key_or_a_ledger(state: Path, tmp_path: Path) -> None:
    """Where there is no ledger it cannot be done (3); where there is no key it says which (a configuration error)."""
    nowhere = run("audit", "erase", "--subject", "alice", "--state", tmp_path / "nowhere")
    assert (nowhere.exit_code, nowhere.stderr[:20]) == (3, "could not find out: ")
    (state / DEFAULT_KEY).unlink()
    keyless = run("audit", "erase", "--subject", "alice")
    assert f"the pseudonym key {state / DEFAULT_KEY} cannot be read" in str(keyless.exception)
    assert [event["type"] for event in get_audit_events(path=state) if event["type"] == "audit.erased"] == []


def test_erasing_nobody_is_done_too(state: Path) -> None:
    """Whoever was never seen is erased with nothing to erase: the answer and the receipt say so."""
    done = run("audit", "erase", "--subject", "nobody", "--json")
    said = json.loads(done.stdout)["here"]
    assert (done.exit_code, said["complete"], said["unlinked"], said["identities"]) == (0, True, 0, 0)
    [event] = get_audit_events(path=state, type="audit.erased")
    assert event["id"] == said["receipt"]
