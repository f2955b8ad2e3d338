"""A start that fails leaves nothing running, whatever was open by then."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from authz import audit
from authz.activation import Activation
from authz.config import Settings, load
from authz.core import AuditUnavailableError, AuthzError, ConfigurationError
from authz.pdp import Pdp, parts
from authz.recording import AuditorChild
from authz.reporting import Reporter


class BrokenError(Exception):
    """What nobody foresaw."""


async def broken(*_: object, **__: object) -> None:
    raise BrokenError


def settings_in(state: Path, **flags: object) -> Settings:
    return load(None, {}, {"dev": True, "state": str(state), "audit.auditor": "off", **flags})


async def left_by(start: Callable[[], Awaitable[Pdp]], error: type[Exception]) -> set[str]:
    """The tasks and threads that a start which fails leaves behind. What was told to end may take a moment to."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())

    def left() -> set[str]:
        begun = {each.name for each in set(threading.enumerate()) - threads}
        kept = {name for name in begun if name.startswith(("asyncio", "log"))}  # the loop's own, the process's log
        return {each.get_name() for each in asyncio.all_tasks() - tasks} | begun - kept

    with pytest.raises(error):
        await start()
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while left():
                await asyncio.sleep(0.01)
    return left()


async def test_a_secret_that_cannot_be_read(tmp_path: Path) -> None:
    """The ledger is open when `metrics.token_file` is read: it is closed in order, and the next start finds it free."""
    wrong = settings_in(tmp_path, **{"metrics.token_file": str(tmp_path / "missing")})

    assert await left_by(lambda: Pdp.start(wrong), ConfigurationError) == set()

    await (await Pdp.start(settings_in(tmp_path))).close("test")
    assert audit.verify_audit_integrity(tmp_path) == (True, [])


async def test_the_last_part_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All the parts before it are closed, those with a thread or a file of their own among them."""
    settings = settings_in(tmp_path, **{"audit.privacy": "salts"})
    with monkeypatch.context() as patched:
        patched.setattr(parts, "open_reporter", broken)
        assert await left_by(lambda: Pdp.start(settings), BrokenError) == set()

    await (await Pdp.start(settings)).close("test")


async def test_a_ledger_that_cannot_be_ended_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that is told is the first one, not that of clearing up; the rest is cleared up all the same."""
    closing = audit.LedgerWriter.close

    async def unrecorded(writer: audit.LedgerWriter, reason: str = "shutdown") -> None:
        await closing(writer, reason)
        raise AuditUnavailableError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(audit.LedgerWriter, "close", unrecorded)
        patched.setattr(parts, "open_reporter", broken)
        assert await left_by(lambda: Pdp.start(settings_in(tmp_path)), BrokenError) == set()


async def test_reports_of_before_are_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads in the background what was reported before ends with the start that began it."""

    async def endless(_: Reporter) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Reporter, "_remember", endless)
    wrong = settings_in(tmp_path, **{"metrics.token_file": str(tmp_path / "missing")})

    assert await left_by(lambda: Pdp.start(wrong), ConfigurationError) == set()


async def test_a_beginning_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded as a startup is recorded as a shutdown, and says that it failed."""
    with monkeypatch.context() as patched:
        patched.setattr(Activation, "start", broken)
        assert await left_by(lambda: Pdp.start(settings_in(tmp_path)), BrokenError) == set()

    events = audit.get_audit_events(path=tmp_path)
    assert [(each["type"], each.get("reason")) for each in events if each["type"].startswith("system.")] == [
        ("system.shutdown", "failed"),
        ("system.startup", None),
    ]
    assert audit.verify_audit_integrity(tmp_path) == (True, [])


async def test_an_auditor_that_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The auditor's process ends with the start that began it."""
    begun: list[AuditorChild] = []
    starting = AuditorChild.start

    def noted(child: AuditorChild) -> None:
        begun.append(child)
        starting(child)
        raise AuthzError("too late")

    monkeypatch.setattr(AuditorChild, "start", noted)
    settings = settings_in(tmp_path, **{"audit.auditor": "child"})

    assert await left_by(lambda: Pdp.start(settings), AuthzError) == set()
    assert len(begun) == 1
