"""Finding the `opa` program."""

from pathlib import Path

import pytest

from authz.bundle import Opa, OpaMissingError, find_opa, pins


@pytest.fixture(autouse=True)
def _no_opa_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("authz.bundle.opa.__file__", str(tmp_path / "a" / "b" / "opa.py"))


def program(path: Path, says: str) -> Path:
    """A program that says it is some version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_named_one_is_taken(tmp_path: Path) -> None:
    """A program named by the caller goes before the one on PATH."""
    program(tmp_path / "opa", f"Version: {pins.OPA}")
    named = program(tmp_path / "mine", "Version: 9.9.9")

    assert Opa(named, "9.9.9") == find_opa(named)


def test_of_several_the_pinned_one_is_taken(tmp_path: Path) -> None:
    """A newer one on PATH would build other bytes than a checkout's pinned one."""
    program(tmp_path / "opa", "Version: 9.9.9")
    pinned = program(tmp_path / ".tools" / "bin" / "opa", f"Version: {pins.OPA}")

    assert Opa(pinned, pins.OPA) == find_opa()


@pytest.mark.parametrize("version", ["1.21.2", "1.9.0", "0.70.0"])
def test_an_unsafe_one_is_refused(tmp_path: Path, version: str) -> None:
    """Older than the oldest safe version is not taken, and the message says so."""
    opa = program(tmp_path / "opa", f"Version: {version}")

    with pytest.raises(OpaMissingError) as refused:
        find_opa()

    assert str(refused.value).startswith(f"{opa} is OPA {version}; 1.21.3 or newer is needed: install OPA {pins.OPA}")


@pytest.mark.parametrize("says", ["", "hello", "Version: edge"])
def test_what_does_not_say_its_version_is_refused(tmp_path: Path, says: str) -> None:
    """A program that is no `opa` is not taken."""
    named = program(tmp_path / "mine", says)

    with pytest.raises(OpaMissingError, match="is not an `opa`"):
        find_opa(named)


def test_none_at_all_says_how_to_get_it() -> None:
    """The message names the version and the command."""
    with pytest.raises(OpaMissingError) as refused:
        find_opa()

    assert (
        f"there is no `opa` on PATH: install OPA {pins.OPA}, or in a checkout run `python tools/provision.py opa`"
    ) == str(refused.value)
