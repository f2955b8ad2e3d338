"""`authz audit hold`, `archive` and `prune`: what is said, and with which exit code."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz.audit.retention import retention_limit
from authz.audit.upkeep import upkeep
from authz.cli import program
from authz.core import BadRequestError

from .days import live, midnight, names, sign, snapshot
from .ledger import STREAM

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed ledger of six days, named by AUTHZ_STATE."""
    live(tmp_path / "state", 0, 6)
    sign(tmp_path / "state")
    monkeypatch.setenv("AUTHZ_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["audit", *(str(argument) for argument in arguments)])


def test_archive_then_prune(state: Path, tmp_path: Path) -> None:
    """Each says in a sentence what it did, and does what it said."""
    to, last = tmp_path / "archive", names(state)[4]
    first = run("archive", "--to", to, "--stream", STREAM)
    assert first.exit_code == 0
    assert first.stdout.startswith(f"{STREAM}: {len(names(state))} segments archived, 0.1 MB in 0.0 MB, up to record ")
    assert run("archive", "--to", to, "--stream", STREAM).stdout.startswith(f"{STREAM}: nothing new; archived up to ")
    checked = run("archive", "--to", to, "--check")
    assert (checked.exit_code, checked.stdout.endswith("segments are what was signed\n")) == (0, True)
    sign(state)
    dry = run("prune", "--before", midnight(4), "--archive", to, "--dry-run")
    assert dry.exit_code == 0
    assert "4 segments would go" in dry.stdout
    done = run("prune", "--before", midnight(4), "--archive", to)
    assert done.exit_code == 0
    index = int(last[:12]) - 1
    said = done.stdout.splitlines()
    assert said[0] == f"what was recorded before {midnight(4)}:"
    assert said[1].startswith(f"{STREAM}: 4 segments went; it begins after record {index}, 0.")
    assert names(state)[0] == last
    sign_again = run("prune", "--before", midnight(4), "--archive", to, "--json")
    assert json.loads(sign_again.stdout) == [
        {"stream": STREAM, "minimum_index": index, "segments": [], "freed_bytes": 0, "finished": [], "refused": None}
    ]


def test_what_has_to_stay_is_exit_1(state: Path, tmp_path: Path) -> None:
    """A hold, or a segment that the archive does not hold; a damaged archive is no archive."""
    assert run("archive", "--to", tmp_path / "archive", "--stream", STREAM).exit_code == 0
    added = run("hold", "add", "--stream", STREAM, "--since", midnight(1), "--until", midnight(2), "--reason", "case 1")
    assert added.exit_code == 0
    hold = added.stdout.split()[0]
    assert added.stdout == f"{hold}  {STREAM}, from {midnight(1)} until {midnight(2)}: case 1\n"
    assert run("hold", "list").stdout == added.stdout
    sign(state)
    held = run("prune", "--before", midnight(4), "--without-archive")
    assert held.exit_code == 1
    assert f"NOT all of it: {STREAM}/{names(state)[0]} and what follows it stays: it is under the hold" in held.stdout
    lifted = run("hold", "lift", hold, "--reason", "closed")
    assert (lifted.exit_code, lifted.stdout) == (0, f"lifted: {added.stdout}")
    assert run("hold", "list").stdout == "no hold is in force\n"
    assert json.loads(run("hold", "list", "--json").stdout) == []
    missing = run("prune", "--before", midnight(4), "--archive", tmp_path / "elsewhere")
    assert missing.exit_code == 1
    assert "does not hold it" in missing.stdout
    next((tmp_path / "archive" / "audit" / STREAM).iterdir()).unlink()
    broken = run("archive", "--to", tmp_path / "archive", "--check")
    assert broken.exit_code == 1
    assert "NOT whole" in broken.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["prune", "--keep", "400d"],
        ["prune", "--keep", "400d", "--archive", "a", "--without-archive"],
        ["prune", "--keep", "400d", "--before", "1d", "--without-archive"],
        ["prune", "--keep", "2026-01-01", "--without-archive"],
        ["prune", "--before", "soon", "--without-archive"],
        ["prune", "--stream", "mian", "--without-archive"],
        ["prune", "--stream", "cli", "--without-archive"],
        ["archive"],
        ["archive", "--to", "a", "--stream", "mian"],
        ["archive", "--to", "a", "--public-key", "k"],
        ["hold", "add"],
        ["hold", "add", "--stream", "mian", "--reason", "r"],
        ["hold", "add", "--reason", " "],
        ["hold", "lift", "nothing", "--reason", "r"],
    ],
)
def test_a_question_put_wrongly_is_exit_2(
    state: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And changes nothing: a prune without a word about the archive is one of them."""
    monkeypatch.chdir(tmp_path)
    (state / "audit" / "upkeep.lock").touch()
    before = snapshot(state / "audit")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert snapshot(state / "audit") == before


def test_what_cannot_be_done_now_is_exit_3(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ledger, no public key, or another upkeep that is running."""
    with monkeypatch.context() as patch, upkeep(state / "audit"):
        patch.setattr("authz.audit.hold.WAIT_SECONDS", 0.1)
        busy = run("hold", "add", "--reason", "r")
    assert (busy.exit_code, "another compression, archive or prune is running" in busy.stderr) == (3, True)
    (state / "keys" / "audit.pub").unlink()
    for command in (["prune", "--without-archive"], ["archive", "--to", tmp_path / "a"]):
        blind = run(*command)
        assert (blind.exit_code, "public keys cannot be read" in blind.stderr) == (3, True)
    for command in (["prune", "--without-archive"], ["archive", "--to", tmp_path / "a"], ["hold", "list"]):
        assert run(*command, "--state", tmp_path / "nowhere").exit_code == 3


def test_what_somebody_rewrote_is_exit_1(state: Path) -> None:
    """Where the records of holds are damaged nothing goes."""
    run("hold", "add", "--reason", "r")
    sign(state)
    (state / "audit" / "cli" / "000000000001.jsonl").unlink()
    refused = run("prune", "--before", midnight(4), "--without-archive")
    assert (refused.exit_code, refused.stderr.startswith("refused: ")) == (1, True)


def test_without_a_time_the_configured_retention_counts(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file, the environment over it; 400 days by default; 0 keeps everything."""
    file = tmp_path / "authz.toml"
    file.write_text("[audit]\nretention_days = 0\n")
    kept = run("prune", "--without-archive", "--config", file)
    assert (kept.exit_code, kept.stdout) == (
        0,
        "audit.retention_days is 0: everything is kept, nothing was dropped\n",
    )
    monkeypatch.setenv("AUTHZ_AUDIT__RETENTION_DAYS", "7")
    week = run("prune", "--without-archive", "--config", file, "--dry-run")
    assert abs(limit_of(week) - (datetime.now(UTC) - timedelta(days=7))) < timedelta(minutes=1)
    monkeypatch.delenv("AUTHZ_AUDIT__RETENTION_DAYS")
    default = run("prune", "--without-archive", "--dry-run")
    assert abs(limit_of(default) - (datetime.now(UTC) - timedelta(days=400))) < timedelta(minutes=1)


def limit_of(result: Result) -> datetime:
    """The time that a prune said it goes by."""
    return datetime.fromisoformat(result.stdout.splitlines()[0].removeprefix("what was recorded before ").rstrip(":"))


@pytest.mark.parametrize(
    ("before", "keep", "days", "limit"),
    [
        (None, None, 400, "2026-01-25T12:00:00.000000Z"),
        (None, None, 0, None),
        (None, "36h", 0, "2027-02-28T00:00:00.000000Z"),
        (None, "52w", 400, "2026-03-02T12:00:00.000000Z"),
        ("2026-11-23", None, 400, "2026-11-23T00:00:00.000000Z"),
        ("7d", None, 0, "2027-02-22T12:00:00.000000Z"),
    ],
)
def test_how_far_back_the_ledger_is_kept(before: str | None, keep: str | None, days: int, limit: str | None) -> None:
    """A time, a length of time, or what is configured."""
    assert retention_limit(before, keep, days, NOW) == limit


def test_a_length_of_time_is_no_time() -> None:
    """Nobody's `--keep 2026-11-23` drops everything before that day."""
    with pytest.raises(BadRequestError, match="is no length of time"):
        retention_limit(None, "2026-11-23", 400, NOW)
