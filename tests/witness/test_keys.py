"""A witness's key and memory: made once, kept together, and never used apart."""

import re
import shutil
import socket
from pathlib import Path

import pytest

from authz.core import ConfigurationError
from authz.tlog import CosignerSigner
from authz.witness import Witness, open_state, read_log_keys
from authz.witness import keys as keys_module

from .logs import NOW, SIGNER, Log


def test_key_and_memory_are_made_once(tmp_path: Path) -> None:
    """The key is its owner's alone; a second start finds the same, by its name or without one."""
    state = tmp_path / "a" / "b"
    signer, _ = open_state(state, "witness.example/w1")
    assert [oct(each.stat().st_mode & 0o777) for each in (state, state / "witness.key")] == ["0o700", "0o600"]
    assert sorted(each.name for each in state.iterdir()) == ["witness.db", "witness.key"]
    assert [open_state(state, name)[0].vkey for name in ("witness.example/w1", None)] == [signer.vkey] * 2
    assert (state / "witness.key").read_text() == f"{signer.private_text()}\n"


def test_a_new_key_is_named_after_the_machine(tmp_path: Path) -> None:
    """Unless it is told a name."""
    assert open_state(tmp_path)[0].name == f"{socket.gethostname()}/witness"


def test_a_key_does_not_change_its_name(tmp_path: Path) -> None:
    """Logs know it by name and key."""
    open_state(tmp_path, "w1")
    with pytest.raises(ConfigurationError, match=r"--name: the key in .* is called 'w1', not 'w2'"):
        open_state(tmp_path, "w2")


@pytest.mark.parametrize("name", ["two words", "a+b", "line\nline"])
def test_a_name_has_to_be_one(tmp_path: Path, name: str) -> None:
    """Nothing is left behind when it is none."""
    with pytest.raises(ConfigurationError, match="--name: "):
        open_state(tmp_path, name)
    assert not (tmp_path / "witness.key").exists()


def test_a_witness_that_lost_its_memory_does_not_start(tmp_path: Path) -> None:
    """Nor with the memory of another one, nor with an emptied one, however often it is tried."""
    signer, store = open_state(tmp_path / "one", "w1")
    store.close()
    open_state(tmp_path / "two", "w1")[1].close()
    memory = tmp_path / "one" / "witness.db"
    for lose in (
        memory.unlink,
        lambda: shutil.copy(tmp_path / "two" / "witness.db", memory),
        lambda: memory.write_bytes(b""),
    ):
        lose()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"is not the memory that .* has signed by"):
                open_state(tmp_path / "one", "w1")
    (tmp_path / "one" / "witness.key").rename(tmp_path / "one" / "witness.key.lost")
    assert open_state(tmp_path / "one", "w1")[0].vkey != signer.vkey


def test_a_start_that_was_cut_short_is_no_lost_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory knows a key before the key is on disk."""

    def crash(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keys_module, "_write_whole", crash)
        with pytest.raises(KeyboardInterrupt):
            open_state(tmp_path, "w1")
    signer, _ = open_state(tmp_path, "w1")
    assert open_state(tmp_path, "w1")[0].vkey == signer.vkey


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """With what to do about it."""
    open_state(tmp_path, "w1")
    path = tmp_path / "witness.key"
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=re.escape(f"{path} is open to others: chmod 600 {path}")):
        open_state(tmp_path, "w1")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A log's key signs checkpoints; a witness's signs cosignatures. What is wrong is said without the key."""
    open_state(tmp_path, "w1")
    path = tmp_path / "witness.key"
    path.write_text(f"{SIGNER.private_text()}\n")
    with pytest.raises(ConfigurationError, match=re.escape(f"{path}: private key: not of algorithm 0x04")) as refused:
        open_state(tmp_path, "w1")
    assert SIGNER.private_text()[-20:] not in str(refused.value)


def test_a_state_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands where the directory should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file: cannot be used: "):
        open_state(tmp_path / "file", "w1")


def test_log_keys_come_as_themselves_or_in_files(tmp_path: Path) -> None:
    """All of a file, newest first as the log writes them, in the order of the arguments."""
    keys = [SIGNER.named(f"log{at}").verifier for at in range(4)]
    path = tmp_path / "audit.pub"
    path.write_text(f"{keys[1]}\n{keys[2]}\n")
    assert read_log_keys([str(keys[0]), str(path), str(keys[3])]) == keys


@pytest.mark.parametrize("content", ["", "\n\n", "no key\n", f"{CosignerSigner('w', bytes(32)).vkey}\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    """A witness that knows no log by mistake would cosign nothing and say so to nobody."""
    path = tmp_path / "audit.pub"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=re.escape(f"--log: {path}")):
        read_log_keys([str(path)])


def test_a_key_with_a_slip_in_it_is_refused() -> None:
    """It is taken for a file, which is not there; the message shows what was given."""
    slip = str(SIGNER.verifier).replace("+", "-", 1)
    with pytest.raises(ConfigurationError, match=re.escape(f"--log: {slip} is no verifier key, and no file")):
        read_log_keys([slip])


def test_memory_is_on_disk_from_the_start(tmp_path: Path) -> None:
    """What was cosigned by one process is known to the next."""
    log = Log()
    signer, store = open_state(tmp_path, "w1")
    Witness([SIGNER.verifier], signer, store, lambda: NOW).add_checkpoint(log.body(0, 8))
    store.close()
    signer, store = open_state(tmp_path, "w1")
    Witness([SIGNER.verifier], signer, store, lambda: NOW).add_checkpoint(log.body(8, 9))
