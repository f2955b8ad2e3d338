"""`authz audit verify` and `authz audit events`."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz.cli import program

from .ledger import STREAM, event, writer


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A state directory with one event."""
    ledger = writer(tmp_path / "audit")
    await ledger.open()
    await ledger.record(event("e1", action="GET", route="/memory/{id}", scopes=["memory:read"], decision="allow"))
    await ledger.record(event("e2", path="/\x1b[2J", subject="h1:k1:a-very-long-pseudonym"))
    await ledger.close()
    return tmp_path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["audit", *map(str, arguments)])


def _damage(state: Path) -> None:
    path = state / "audit" / STREAM / "000000000001.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"id":"e1"', b'"id":"e9"'))


def test_an_intact_ledger_is_exit_0(state: Path) -> None:
    """With what was read, and what could not be known."""
    result = _run("verify", state)
    assert result.exit_code == 0
    size = (state / "audit" / STREAM / "000000000001.jsonl").stat().st_size
    first, integrity, completeness, note, keys, verdict = result.stdout.splitlines()
    assert first == f"main: 4 records, 1 segments, {size} bytes"
    assert integrity == "  integrity     what is there is as it was recorded"
    assert completeness == "  completeness  no checkpoint under a known key covers any of it"
    assert "uncovered: Not covered by a checkpoint yet" in note
    assert (keys, verdict) == ("keys: none, so nobody knows who signed what", "intact")
    assert result.stderr == ""


def test_a_damaged_ledger_is_exit_1_and_names_the_place(state: Path) -> None:
    """As text and as JSON."""
    _damage(state)
    result = _run("verify", state)
    assert result.exit_code == 1
    assert "damage  main/000000000001.jsonl:2 (byte " in result.stdout
    assert result.stdout.endswith("NOT intact: 1 findings\n")
    document = _run("verify", state, "--json")
    assert document.exit_code == 1
    found = json.loads(document.stdout)
    assert (found["intact"], [issue["kind"] for issue in found["issues"]]) == (False, ["chain_broken"])


def test_no_ledger_is_exit_3(tmp_path: Path) -> None:
    """Could not find out is neither yes nor no."""
    for command in (("verify", tmp_path), ("events", "--state", tmp_path)):
        result = _run(*command)
        assert result.exit_code == 3
        assert result.stderr == f"could not find out: {tmp_path}: there is no ledger in it\n"


def test_a_ledger_that_cannot_be_read_is_exit_3(state: Path) -> None:
    """A segment that cannot be opened says nothing about tampering."""
    segment = state / "audit" / STREAM / "000000000001.jsonl"
    segment.unlink()
    segment.symlink_to("000000000001.jsonl")
    assert _run("verify", state).exit_code == 3


@pytest.mark.parametrize(
    "command", [["verify", "--no-such"], ["events", "--since", "yesterday"], ["events", "--param", "x"]]
)
def test_a_question_put_wrongly_is_exit_2(state: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As every command of the program."""
    monkeypatch.setenv("AUTHZ_STATE", str(state))
    assert _run(*command).exit_code == 2


def test_events_are_a_table_newest_first(state: Path) -> None:
    """Aligned, subjects cut short, control characters kept from the terminal."""
    result = _run("events", "--state", state, "--type", "memory.accessed")
    heading, second, first = result.stdout.splitlines()
    assert heading.split() == ["TIME", "TYPE", "DECISION", "REASON", "SUBJECT", "METHOD", "ROUTE", "SCOPES"]
    assert second.split()[1:] == [
        "memory.accessed",
        "-",
        "-",
        "h1:k1:a-very-lo…",
        "-",
        "/\N{REPLACEMENT CHARACTER}[2J",
        "-",
    ]
    assert first.split()[1:] == ["memory.accessed", "allow", "-", "h1:k:s", "GET", "/memory/{id}", "memory:read"]
    assert heading.index("ROUTE") == first.index("/memory")


def test_a_forged_record_of_other_types_is_shown_with_the_rest(state: Path) -> None:
    """Who writes odd records into the ledger cannot keep anybody from seeing the others."""
    (segment,) = (state / "audit" / STREAM).glob("*.jsonl")
    segment.chmod(0o600)
    lines = segment.read_bytes().split(b"\n")
    head = b'{"prev":"%b","seq":%d,' % (hashlib.sha256(lines[-2]).hexdigest().encode(), len(lines))
    odd = b'"id":"x","ts":"2099-01-01T00:00:00.000000Z","subject":3,"decision":[1],"scopes":{"a":1},"route":7}'
    segment.write_bytes(segment.read_bytes() + head + odd + b"\n")
    result = _run("events", "--state", state, "--limit", 2)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == [
        "2099-01-01T00:00:00.000Z",
        "-",
        "[1]",
        "-",
        "3",
        "-",
        "7",
        "{'a':",
        "1}",
    ]


def test_events_are_filtered_and_printed_as_json(state: Path) -> None:
    """Each filter of the contract is an option."""
    options = ["--decision", "allow", "--route", "/memory/{id}", "--method", "GET", "--scope", "memory:read"]
    result = _run("events", "--state", state, "--limit", 1, "--since", "1h", "--json", *options)
    assert result.exit_code == 0
    assert [found["id"] for found in json.loads(result.stdout)] == ["e1"]
