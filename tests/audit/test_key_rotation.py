"""`authz keys`: a key is made once, and changed so that a crash at any point leaves nothing but work to be finished."""

import asyncio
import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz.audit import KeyChange, KeyExistsError, new_node_key, node_keys, rotate_key, verify
from authz.audit.atomic import Shelf
from authz.audit.auditor import AuditorProcess
from authz.audit.evidence import verify as verify_py
from authz.audit.key_file import read_key_file
from authz.audit.location import LedgerUnreadableError
from authz.audit.offline import record_offline
from authz.audit.rotations import RecordedRotation, recorded_rotations
from authz.cli import program
from authz.config import AuditSettings
from authz.core import AuditUnavailableError, ConfigurationError
from authz.tlog import Checkpoint, Signer

from .ledger import STREAM, SystemClock
from .signed_ledger import NODE_STREAM, accessed, append

NAME = "ledger.example/node7"
SIZES = {STREAM: 4, "other": 4, NODE_STREAM: 3}
"""How far the streams are signed."""


@contextmanager
def auditing(state: Path) -> Iterator[Callable[[], None]]:
    """A running auditor; what it gives signs once more. It ends in order."""
    with asyncio.Runner() as runner:
        process = AuditorProcess(state, AuditSettings(), SystemClock())
        try:
            runner.run(process.open())
        except ConfigurationError:
            process._lock.release()  # as its end would
            raise
        try:
            yield lambda: runner.run(process.round())
        finally:
            runner.run(process.close())


def sign(state: Path) -> None:
    """One life of the auditor."""
    with auditing(state):
        pass


def grow(state: Path, stream: str = STREAM) -> None:
    append(state / "audit", stream, [accessed(1), accessed(2)])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A ledger of two streams that the auditor has signed."""
    state = tmp_path / "state"
    new_node_key(state, NAME)
    for stream in (STREAM, "other"):
        grow(state, stream)
    sign(state)
    return state


def key_file(state: Path) -> Path:
    return state / "keys" / "audit.key"


def rotations(state: Path) -> list[RecordedRotation]:
    return recorded_rotations(state / "audit")


def assert_clean(state: Path, *keys: object) -> None:
    """To whoever has one of these keys, or takes those beside the ledger; and to the one-file verifier."""
    assert verify(state).issues == ()
    for number, key in enumerate(keys):
        given = state.parent / f"given-{number}.pub"
        given.write_text(f"{key}\n")
        found = verify(state, public_keys=[given])
        assert found.issues == (), key
        assert verify_py.main(["--ledger", str(state), "--public-key", str(key)]) == 0


def assert_finished(state: Path, done: KeyChange) -> None:
    """One record, one key, and what is signed from here on is good for whoever knows either."""
    assert [(one.rotation.old, one.rotation.new) for one in rotations(state)] == [(done.old, done.new)]
    assert [signer.verifier for signer in read_key_file(key_file(state))] == [done.new]
    assert key_file(state).stat().st_mode & 0o777 == 0o600
    assert (state / "keys" / "audit.pub").read_text() == f"{done.new}\n{done.old}\n"
    assert sorted(path.name for path in (state / "keys").iterdir()) == ["audit.key", "audit.pub"]
    grow(state)
    sign(state)
    assert_clean(state, done.old, done.new)
    keys = {one.stream: one.coverage.key for one in verify(state).streams if one.coverage is not None}
    assert keys == {NODE_STREAM: str(done.new), STREAM: str(done.new), "other": str(done.old)}


def test_the_new_key_takes_the_place_of_the_old_one(state: Path) -> None:
    """Under the same name, recorded with the last tree of each stream; whoever knows one of them knows both."""
    done = rotate_key(state)
    assert (done.new.name, done.resumed) == (NAME, False)
    [one] = rotations(state)
    assert {stream: head.size for stream, head in one.rotation.heads.items()} == SIZES
    assert_clean(state, done.old, done.new)
    assert_finished(state, done)


def test_keys_are_changed_again_and_again(state: Path) -> None:
    """The first one speaks for the last one."""
    first = rotate_key(state)
    sign(state)
    second, third = rotate_key(state), rotate_key(state)
    grow(state)
    sign(state)
    assert_clean(state, first.old, second.old, third.old, third.new)
    assert [key.vkey for key in node_keys(state)] == [str(key) for key in (third.new, third.old, second.old, first.old)]
    assert [key.in_force for key in node_keys(state)] == [True, False, False, False]


class Died(BaseException):
    """The process is no more."""


class DyingShelf(Shelf):
    """Dies at the step of this number, before or after it is done."""

    def __init__(self, step: int, *, after: bool) -> None:
        self.step, self.after, self.at = step, after, 0

    def replace(self, path: Path, data: bytes) -> None:
        self.at += 1
        if self.at == self.step and not self.after:
            raise Died
        super().replace(path, data)
        if self.at == self.step:
            raise Died


def begun_at(state: Path, step: int, *, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of keys that dies at one of its four steps; the second is the record."""

    def recorded(*arguments: object, **named: object) -> None:
        if after:
            record_offline(*arguments, **named)  # type: ignore[arg-type]
        raise Died

    if step == 2:
        monkeypatch.setattr("authz.audit.key_rotation.record_offline", recorded)
    with pytest.raises(Died):
        rotate_key(state, shelf=DyingShelf(step - (step > 2), after=after))
    monkeypatch.undo()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_change_that_was_cut_short_is_finished_by_the_next(
    state: Path, step: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step the ledger is clean and no auditor signs, and in the end the same two keys have changed places."""
    old = read_key_file(key_file(state))[0].verifier
    begun_at(state, step, after=after, monkeypatch=monkeypatch)
    assert_clean(state, old)
    begun = (step, after) > (1, False)
    done = (step, after) == (4, True)
    if begun and not done:
        before = (state / "audit" / "tiles" / STREAM / "checkpoint").read_bytes()
        grow(state)
        with pytest.raises(ConfigurationError):
            sign(state)
        assert (state / "audit" / "tiles" / STREAM / "checkpoint").read_bytes() == before
        assert_clean(state, old)
        assert "run `authz keys rotate` again" in key_file(state).read_text()
        [_, new] = read_key_file(key_file(state))
        change = rotate_key(state)
        assert (change.old, change.new, change.resumed) == (old, new.verifier, True)
    elif not begun:
        sign(state)
        assert_clean(state, old)
        change = rotate_key(state)
        assert (change.old, change.resumed) == (old, False)
    else:
        [new] = read_key_file(key_file(state))
        change = KeyChange(old, new.verifier, resumed=False)
    assert_finished(state, change)


def test_a_record_of_which_nobody_was_told_is_not_made_twice(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes may be in the file though the device reported an error: what counts is settled first."""
    fdatasync, calls = os.fdatasync, iter(range(100))

    def failing(fd: int) -> None:
        if next(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")
        fdatasync(fd)

    with monkeypatch.context() as patched:
        patched.setattr("authz.audit.files.os.fdatasync", failing)
        with pytest.raises(AuditUnavailableError, match="run again"):
            rotate_key(state)
    with pytest.raises(ConfigurationError):
        sign(state)
    assert_finished(state, rotate_key(state))


def test_nothing_is_changed_while_an_auditor_runs(state: Path) -> None:
    """It has the key in its memory and would go on signing with it."""
    before = key_file(state).read_bytes()
    with (
        auditing(state),
        pytest.raises(AuditUnavailableError, match=rf"\(pid {os.getpid()}\).*Stop it first.*stop that"),
    ):
        rotate_key(state)
    assert (key_file(state).read_bytes(), rotations(state)) == (before, [])


def test_what_was_signed_and_not_published_counts_as_signed(state: Path) -> None:
    """A crash between the two leaves the auditor's memory ahead of the checkpoint."""
    grow(state)
    path = state / "audit" / "tiles" / STREAM / "checkpoint"
    before = path.read_bytes()
    sign(state)
    path.write_bytes(before)
    assert_clean(state)
    done = rotate_key(state)
    assert rotations(state)[0].rotation.heads[STREAM].size == 8
    sign(state)
    assert_clean(state, done.old, done.new)


@pytest.mark.parametrize("left", ["checkpoints", "roll-up"])
def test_what_was_published_counts_where_the_memory_is_lost(state: Path, left: str) -> None:
    """The old key signed at least that; the auditor's own stream is in no roll-up."""
    (state / "auditor" / "signed.db").unlink()
    if left == "roll-up":
        for stream in (STREAM, "other"):
            (state / "audit" / "tiles" / stream / "checkpoint").unlink()
    rotate_key(state)
    assert {stream: head.size for stream, head in rotations(state)[0].rotation.heads.items()} == SIZES


def test_a_checkpoint_that_no_key_signed_counts_for_nothing(state: Path) -> None:
    """Else whoever can write to the disk could make an old key good for more."""
    path = state / "audit" / "tiles" / STREAM / "checkpoint"
    named = Signer.generate(NAME).named(f"{NAME}/{STREAM}")
    path.write_bytes(named.sign(Checkpoint(named.name, 400, bytes(32)).text()))
    rotate_key(state)
    assert {stream: head.size for stream, head in rotations(state)[0].rotation.heads.items()} == SIZES


def test_it_takes_a_key_and_a_ledger(tmp_path: Path, state: Path) -> None:
    """Each is named where it is missing; a key that others can read is no secret."""
    with pytest.raises(LedgerUnreadableError, match="no ledger"):
        rotate_key(tmp_path / "nowhere")
    key_file(state).chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        rotate_key(state)
    key_file(state).rename(tmp_path / "moved.key")
    key_file(state).write_text("nonsense")
    key_file(state).chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no Ed25519 key"):
        rotate_key(state)
    key_file(state).unlink()
    with pytest.raises(ConfigurationError, match="authz keys new"):
        rotate_key(state)
    (tmp_path / "moved.key").chmod(0o600)
    done = rotate_key(state, str(tmp_path / "moved.key"))
    assert read_key_file(tmp_path / "moved.key")[0].verifier == done.new
    assert not key_file(state).exists()


def test_a_stream_of_the_node_that_went_on_under_another_name_speaks_for_keys_too(state: Path) -> None:
    """The change is recorded where the auditor writes now."""
    authz("audit", "new-stream", "--after", NODE_STREAM, "--reason", "drill", "--state", state)
    done = rotate_key(state)
    holders = {path.parent.name for path in state.glob("audit/*/*.jsonl") if b"audit.key_rotated" in path.read_bytes()}
    assert holders == {"auditor.1"}
    grow(state)
    sign(state)
    assert [(one.rotation.old, one.rotation.new) for one in rotations(state)] == [(done.old, done.new)]
    assert verify(state).issues == ()


def authz(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """For its owner only; never over another one, nor beside public keys of which the private one is gone."""
    state = tmp_path / "state"
    made = authz("keys", "new", "--origin", NAME, "--state", state)
    [signer] = read_key_file(key_file(state))
    assert (made.exit_code, made.stdout) == (0, f"{signer.vkey}\n")
    assert (state / "keys" / "audit.pub").read_text() == made.stdout
    assert [oct(path.stat().st_mode & 0o777) for path in (state / "keys", key_file(state))] == ["0o700", "0o600"]
    again = authz("keys", "new", "--origin", "other.example", "--state", state)
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)
    assert read_key_file(key_file(state))[0].vkey == signer.vkey
    key_file(state).unlink()
    lost = authz("keys", "new", "--origin", NAME, "--state", state)
    assert (lost.exit_code, "Put it back" in lost.stderr, key_file(state).exists()) == (1, True, False)
    for name in ("two words", "plus+", ""):
        refused = authz("keys", "new", "--origin", name, "--state", tmp_path / "another")
        assert isinstance(refused.exception, ConfigurationError)
    assert not (tmp_path / "another" / "keys" / "audit.key").exists()


def test_a_crash_between_the_halves_of_a_new_key_is_made_good(tmp_path: Path) -> None:
    """The public half is written by whoever comes next."""
    new_node_key(tmp_path, NAME)
    public = tmp_path / "keys" / "audit.pub"
    text = public.read_text()
    public.unlink()
    with pytest.raises(KeyExistsError):
        new_node_key(tmp_path, NAME)
    assert public.read_text() == text


def test_the_commands_say_which_keys_there_are(state: Path) -> None:
    """Newest first; since when, and until when; as text and as JSON."""
    first = authz("keys", "list", "--state", state)
    [only] = node_keys(state)
    assert (first.exit_code, first.stdout) == (0, f"{only.key_id}  {NAME}  the first key, in force\n")
    told = authz("keys", "rotate", "--state", state)
    [new, old] = node_keys(state)
    assert (told.exit_code, told.stdout) == (0, f"{new.key_id} takes the place of {old.key_id}\n{new.vkey}\n")
    [one] = rotations(state)
    listed = authz("keys", "list", "--state", state)
    assert listed.stdout.splitlines() == [
        f"{new.key_id}  {NAME}  since {one.ts}, in force",
        f"{old.key_id}  {NAME}  the first key, replaced {one.ts}",
    ]
    (state / "keys" / "pseudonym.key").write_bytes(b"x" * 64)
    (state / "keys" / "pseudonym.key").chmod(0o600)
    as_json = json.loads(authz("keys", "list", "--state", state, "--json").stdout)
    assert as_json["pseudonym_key_id"] == "7ce100971f64e7001e8fe5a51973ecdf"[:8]
    assert [(key["vkey"], key["in_force"]) for key in as_json["keys"]] == [(new.vkey, True), (old.vkey, False)]
    assert authz("keys", "export", "--state", state).stdout == f"{new.vkey}\n{old.vkey}\n"
    assert json.loads(authz("keys", "export", "--state", state, "--json").stdout) == [new.vkey, old.vkey]
    again = authz("keys", "rotate", "--state", state, "--json")
    assert json.loads(again.stdout) == {"old": new.vkey, "new": node_keys(state)[0].vkey, "resumed": False}


def test_exit_codes(tmp_path: Path, state: Path) -> None:
    """3 for what cannot be now or is not there, 1 where it is not known what was signed."""
    empty = tmp_path / "empty"
    assert [authz("keys", command, "--state", empty).exit_code for command in ("list", "export", "rotate")] == [3, 3, 3]
    with auditing(state):
        running = authz("keys", "rotate", "--state", state)
    assert (running.exit_code, "Stop it first" in running.stderr) == (3, True)
    before = key_file(state).read_bytes()
    (state / "auditor" / "signed.db").write_text("nonsense")
    unsafe = authz("keys", "rotate", "--state", state)
    assert (unsafe.exit_code, "signed.db" in unsafe.stderr, key_file(state).read_bytes()) == (1, True, before)
