"""Anchors: each checkpoint is written once, never replaced, and what disagrees is said."""

import asyncio
import errno
import os
import stat
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from authz.anchoring import HistoryError, OutwardError, directory, endpoint
from authz.anchoring.directory import DirectoryAnchor
from authz.anchoring.endpoint import HttpAnchor
from authz.anchoring.outside import open_session
from authz.anchoring.places import Anchor, escaped
from authz.anchoring.published import Published
from authz.tlog import add_signatures
from tests.witness.logs import COSIGNER, NOW, Leaves, Log

from .outside import OnceStore, published, serving

PLACE = "node.example%2Fauditor"


@pytest.fixture
def anchor(tmp_path: Path) -> DirectoryAnchor:
    """Of a directory that is there."""
    return DirectoryAnchor(tmp_path, f"file:{tmp_path}")


def _files(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


async def _failure(place: Anchor, item: Published) -> tuple[type[OutwardError], str]:
    try:
        await place.keep(item)
    except OutwardError as error:
        return type(error), str(error)
    raise AssertionError("it was kept")


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("node.example/auditor", PLACE),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("../x", "..%2Fx"),
        ("a%2Fb", "a%252Fb"),
        ("é b?#", "%C3%A9%20b%3F%23"),
    ],
)
def test_the_name_of_a_log_is_one_name(origin: str, name: str) -> None:
    """It leads nowhere else, and no two names become one."""
    assert escaped(origin) == name


async def test_each_checkpoint_has_its_file(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """Read-only, under the log's name and the size; `latest` is a copy of the largest."""
    log = Log()
    for size in (3, 8, 13):
        await anchor.keep(published(log, size))
    assert _files(tmp_path) == {
        **{f"{PLACE}/{size}": log.note(size) for size in (3, 8, 13)},
        f"{PLACE}/latest": log.note(13),
    }
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / PLACE).iterdir()} == {0o444}


async def test_a_file_is_never_replaced(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """The same checkpoint with more signatures is there already: yes, and the file stays as it is."""
    log = Log()
    cosigned = add_signatures(log.note(8), [COSIGNER.cosign(log.checkpoint(8), NOW)])
    await anchor.keep(published(log, 8))
    await anchor.keep(Published.of(cosigned, log.reader))
    assert _files(tmp_path) == {f"{PLACE}/8": log.note(8), f"{PLACE}/latest": log.note(8)}


async def test_a_fork_is_found_by_the_file_of_its_size(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """And nothing is written."""
    await anchor.keep(published(Log(), 8))
    kind, said = await _failure(anchor, published(Log(3), 8))
    root = Log().checkpoint(8).root.hex()
    assert (kind, said) == (
        HistoryError,
        f"{tmp_path}/{PLACE}/8 holds another checkpoint, of 8 records of 'node.example/auditor' with root {root}",
    )
    assert _files(tmp_path) == {f"{PLACE}/8": Log().note(8), f"{PLACE}/latest": Log().note(8)}


async def test_a_fork_is_found_by_what_came_before(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """Though its size is new: it is written beside the others, as evidence, and `latest` stays."""
    fork = Log(3)
    await anchor.keep(published(Log(), 8))
    for _ in range(2):
        assert await _failure(anchor, published(fork, 12)) == (
            HistoryError,
            f"{tmp_path}/{PLACE}/latest is of 8 records that are not the beginning of these 12",
        )
    assert _files(tmp_path) == {
        f"{PLACE}/8": Log().note(8),
        f"{PLACE}/12": fork.note(12),
        f"{PLACE}/latest": Log().note(8),
    }


async def test_a_ledger_that_was_put_back_is_found(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """`latest` is ahead of it."""
    await anchor.keep(published(Log(), 12))
    assert await _failure(anchor, published(Log(), 8)) == (
        HistoryError,
        f"{tmp_path}/{PLACE}/latest is of 12 records; here are 8: this ledger was put back or cut off",
    )


async def test_a_damaged_tile_is_not_taken_for_a_fork(anchor: DirectoryAnchor) -> None:
    """It is trouble here, not there."""
    log = Log()
    await anchor.keep(published(log, 8))
    spoilt = Leaves([*log.reader.leaves[:2], bytes(32), *log.reader.leaves[3:]])
    kind, _ = await _failure(anchor, Published.of(log.note(12), spoilt))
    assert kind is OutwardError


async def test_what_is_no_checkpoint_is_left_alone(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """A torn or foreign file under the name is said, and stays."""
    (tmp_path / PLACE).mkdir()
    (tmp_path / PLACE / "8").write_bytes(Log().note(8)[:30])
    kind, said = await _failure(anchor, published(Log(), 8))
    assert (kind, said.startswith(f"{tmp_path}/{PLACE}/8 is no checkpoint: ")) == (OutwardError, True)
    assert (tmp_path / PLACE / "8").read_bytes() == Log().note(8)[:30]


async def test_what_a_crash_left_is_written_over(anchor: DirectoryAnchor, tmp_path: Path) -> None:
    """Half a draft has no name that counts."""
    (tmp_path / PLACE).mkdir()
    (tmp_path / PLACE / ".new").write_bytes(b"half")
    await anchor.keep(published(Log(), 8))
    assert _files(tmp_path) == {f"{PLACE}/8": Log().note(8), f"{PLACE}/latest": Log().note(8)}


async def test_a_file_system_without_links_will_do(
    anchor: DirectoryAnchor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many shares have none; still nothing is replaced."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    await anchor.keep(published(Log(), 8))
    await anchor.keep(published(Log(), 8))
    assert (await _failure(anchor, published(Log(3), 8)))[0] is HistoryError
    assert _files(tmp_path) == {f"{PLACE}/8": Log().note(8), f"{PLACE}/latest": Log().note(8)}


async def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A share that is not mounted is no anchor, though its mount point could be written to."""
    gone = tmp_path / "mnt" / "anchor"
    assert await _failure(DirectoryAnchor(gone, "a"), published(Log(), 8)) == (
        OutwardError,
        f"{gone}/{PLACE}: No such file or directory",
    )
    assert not gone.exists()


async def test_a_directory_that_hangs_holds_up_nobody(anchor: DirectoryAnchor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left after its time, and not begun a second time before it answers."""
    monkeypatch.setattr(directory, "KEEP_SECONDS", 0.1)
    gate = threading.Event()
    write = DirectoryAnchor._write
    monkeypatch.setattr(DirectoryAnchor, "_write", lambda self, item: gate.wait(20) and write(self, item))
    began = time.monotonic()
    assert await _failure(anchor, published(Log(), 8)) == (
        OutwardError,
        "the directory does not answer within 0 seconds",
    )
    assert await _failure(anchor, published(Log(), 8)) == (OutwardError, "the directory still does not answer")
    assert time.monotonic() - began < 5
    gate.set()
    async with asyncio.timeout(10):
        while anchor._busy.locked():
            await asyncio.sleep(0.01)
    await anchor.keep(published(Log(), 8))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Of the kind that is used outside of tests."""
    async with open_session() as opened:
        yield opened


async def test_each_checkpoint_is_put_once(session: aiohttp.ClientSession) -> None:
    """Below the URL, under the log's name and the size; a second time is fine, and so is another signature."""
    log, store = Log(), OnceStore()
    cosigned = add_signatures(log.note(8), [COSIGNER.cosign(log.checkpoint(8), NOW)])
    async with serving(store.handle) as url:
        place = HttpAnchor(f"{url}/anchors/", session)
        for item in (published(log, 3), published(log, 8), Published.of(cosigned, log.reader)):
            await place.keep(item)
    assert store.kept == {f"/anchors/{PLACE}/{size}": log.note(size) for size in (3, 8)}
    assert set(store.tokens) == {None}


async def test_a_fork_is_found_by_the_body_of_its_size(session: aiohttp.ClientSession) -> None:
    """What is there is read back and compared."""
    store = OnceStore()
    async with serving(store.handle) as url:
        place = HttpAnchor(url, session)
        await place.keep(published(Log(), 8))
        kind, said = await _failure(place, published(Log(3), 8))
        assert (kind, said.startswith(f"{url}/{PLACE}/8 holds another checkpoint")) == (HistoryError, True)
        store.kept[f"/{PLACE}/8"] = b"<html>welcome</html>"
        kind, said = await _failure(place, published(Log(), 8))
        assert (kind, said.startswith(f"{url}/{PLACE}/8 is no checkpoint")) == (OutwardError, True)
    assert store.kept == {f"/{PLACE}/8": b"<html>welcome</html>"}


async def test_a_token_is_read_each_time(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """So that it can be changed; one that cannot be read is said without sending anything."""
    store, file = OnceStore(), tmp_path / "token"
    async with serving(store.handle) as url:
        place = HttpAnchor(url, session, file)
        assert await _failure(place, published(Log(), 3)) == (
            OutwardError,
            f"{file} cannot be read: FileNotFoundError",
        )
        for token in ("one\n", "two"):
            file.write_text(token)
            await place.keep(published(Log(), 3))
    assert store.tokens == ["Bearer one", "Bearer two", "Bearer two"]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 500, 503])
async def test_any_other_answer_is_no_copy(session: aiohttp.ClientSession, status: int) -> None:
    """It is tried again; what it said is told without control characters."""
    store = OnceStore()
    store.broken = status
    async with serving(store.handle) as url:
        failure = await _failure(HttpAnchor(url, session), published(Log(), 8))
    assert failure == (OutwardError, f"it answered {status} to the PUT: broken[2J")


async def test_an_endpoint_that_is_not_there(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once if nobody listens, after its time if nobody answers."""
    async with serving(OnceStore().handle) as url:
        pass
    assert await _failure(HttpAnchor(url, session), published(Log(), 8)) == (
        OutwardError,
        "it cannot be reached: ClientConnectorError",
    )
    monkeypatch.setattr(endpoint, "KEEP_SECONDS", 0.1)

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(20)
        raise AssertionError

    async with serving(handle) as url:
        failure = await _failure(HttpAnchor(url, session), published(Log(), 8))
    assert failure == (OutwardError, "no answer within 0 seconds")
