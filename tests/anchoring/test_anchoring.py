"""The whole way out: witnesses first, then anchors, each at its own pace, none in the way of another."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from authz.anchoring import Anchoring, OutwardStatus, anchoring, asking, pace, read_outward
from authz.anchoring.directory import DirectoryAnchor
from authz.anchoring.published import checkpoint_in
from authz.config import AnchorSettings, AuditSettings, WitnessSettings
from authz.core import ConfigurationError
from authz.http import serve_witness
from authz.tlog import CosignerSigner, MalformedError, Verifier, open_note
from authz.witness import Store, Witness, read_add_checkpoint
from tests.witness.logs import COSIGNER, NOW, SIGNER, Leaves, Log

from .outside import OnceStore, SystemClock, serving, soon, witnessing

PLACE = "node.example%2Fauditor"
SECOND = CosignerSigner("witness.example/w2", b"2" * 32)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not wait for seconds."""
    monkeypatch.setattr(anchoring, "WITNESS_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(pace, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(pace, "LONGEST_RETRY_SECONDS", 0.1)


class House:
    """The auditor's side: what it was told to publish, and the notes it has."""

    def __init__(self, running: Anchoring) -> None:
        self.running = running
        self.log = Log()
        self.size = 0

    def grow(self, size: int) -> None:
        """Publish a checkpoint."""
        self.size = size
        self.running.published(self.log.note(size), self.log.reader)

    def witness(self, at: int = 0) -> OutwardStatus:
        """How a witness is."""
        return self.running.status().witnesses[at]

    def anchor(self, at: int = 0) -> OutwardStatus:
        """How an anchor is."""
        return self.running.status().anchors[at]


@contextlib.asynccontextmanager
async def house(
    cosigned: list[bytes],
    *places: str,
    witnesses: tuple[WitnessSettings, ...] = (),
    every_seconds: int = 1,
    before: dict[str, Any] | None = None,
) -> AsyncIterator[House]:
    """A house with these anchors and witnesses; what it is to publish is put into `cosigned`."""

    async def publish(note: bytes) -> None:
        cosigned.append(note)

    anchors = tuple(AnchorSettings(to=place, every_seconds=every_seconds) for place in places)
    running = Anchoring(AuditSettings(witnesses=witnesses, anchors=anchors), SystemClock(), publish, before)
    await running.start()
    try:
        yield House(running)
    finally:
        await running.close(0.0)


def first_witness(url: str) -> tuple[WitnessSettings, ...]:
    """The settings for one."""
    return (WitnessSettings(url=url, key=COSIGNER.vkey),)


def signers(note: bytes, *keys: CosignerSigner) -> list[str]:
    """Who of these signed the note; the log has to have."""
    known: list[Verifier] = [SIGNER.named("node.example/auditor").verifier, *(each.verifier for each in keys)]
    return [each.name for each in open_note(note, known).signatures][1:]


async def test_a_checkpoint_is_cosigned_published_and_copied(tmp_path: Path) -> None:
    """With the cosignature, to a directory and to an endpoint; the status says how far each is."""
    cosigned: list[bytes] = []
    store, began = OnceStore(), time.time()
    (tmp_path / "a").mkdir()
    async with witnessing(tmp_path / "w.db") as witness, serving(store.handle) as url:
        directory = f"file:{tmp_path / 'a'}"
        async with house(cosigned, directory, url, witnesses=first_witness(witness)) as own:
            own.grow(8)
            await soon("copied", lambda: own.anchor(0).size == own.anchor(1).size == 8)
            status = own.running.status()
    (note,) = cosigned
    assert signers(note, COSIGNER) == ["witness.example/w1"]
    assert (tmp_path / "a" / PLACE / "8").read_bytes() == store.kept[f"/{PLACE}/8"] == note
    assert [(each.name, each.kind, each.size, each.error) for each in (*status.witnesses, *status.anchors)] == [
        ("witness.example/w1", "witness", 8, None),
        (directory, "anchor", 8, None),
        (url, "anchor", 8, None),
    ]
    assert all(began <= each.time <= time.time() for each in (*status.witnesses, *status.anchors))


async def test_many_checkpoints_end_with_the_newest(tmp_path: Path) -> None:
    """Those that came too fast are left out; the sizes that were cosigned only grow."""
    cosigned: list[bytes] = []
    async with witnessing(tmp_path / "w.db") as witness, house(cosigned, witnesses=first_witness(witness)) as own:
        for size in range(1, 65):
            own.grow(size)
            await asyncio.sleep(0.002)
        await soon("the newest", lambda: own.witness().size == 64)
    sizes = [int(note.split(b"\n")[1]) for note in cosigned]
    assert sizes == sorted(set(sizes))
    assert (sizes[-1], 2 <= len(sizes) < 64) == (64, True)


async def test_several_witnesses_sign_one_checkpoint(tmp_path: Path) -> None:
    """What the first one gave is published at once; what goes to the anchors has all of them."""
    cosigned: list[bytes] = []
    (tmp_path / "a").mkdir()
    store = Store(tmp_path / "second.db")
    second = await serve_witness(Witness([SIGNER.verifier], SECOND, store, time.time), "127.0.0.1:0")
    async with witnessing(tmp_path / "first.db") as url:
        both = (*first_witness(url), WitnessSettings(url=second.url, key=SECOND.vkey))
        async with house(cosigned, f"file:{tmp_path / 'a'}", witnesses=both) as own:
            own.grow(8)
            await soon("copied", lambda: own.anchor().size == 8)
    await second.close()
    store.close()
    kept = (tmp_path / "a" / PLACE / "8").read_bytes()
    assert [sorted(signers(note, COSIGNER, SECOND)) for note in (cosigned[-1], kept)] == [
        ["witness.example/w1", "witness.example/w2"]
    ] * 2
    assert [len(signers(note, COSIGNER, SECOND)) for note in cosigned] == [1, 2]


async def test_a_dead_witness_holds_up_neither_the_others_nor_the_anchors(tmp_path: Path) -> None:
    """It is asked again and again, and everything else goes on; when it is there it catches up."""
    cosigned: list[bytes] = []
    (tmp_path / "a").mkdir()
    async with serving(OnceStore().handle) as gone:
        port = int(gone.rpartition(":")[2])
    async with house(cosigned, f"file:{tmp_path / 'a'}", witnesses=first_witness(gone)) as own:
        own.grow(8)
        await soon("copied", lambda: own.anchor().size == 8)
        assert (own.witness().size, own.witness().error) == (0, "it cannot be reached: ClientConnectorError")
        assert (tmp_path / "a" / PLACE / "8").read_bytes() == own.log.note(8)
        async with witnessing(tmp_path / "w.db", port):
            await soon("caught up", lambda: own.witness().size == 8)
            assert own.witness().error is None
    assert [signers(note, COSIGNER) for note in cosigned] == [["witness.example/w1"]]


async def test_a_cosignature_stays_with_its_checkpoint(tmp_path: Path) -> None:
    """The next one, which the witness would not sign, does not carry it: no verifier would take that."""
    (tmp_path / "a").mkdir()

    async def sign_once(request: web.BaseRequest) -> web.StreamResponse:
        checkpoint = checkpoint_in(read_add_checkpoint(await request.read()).note)
        if checkpoint.size == 8:
            return web.Response(text=f"{COSIGNER.cosign(checkpoint, NOW)}\n")
        return web.Response(status=503)

    async with serving(sign_once) as url, house([], f"file:{tmp_path / 'a'}", witnesses=first_witness(url)) as own:
        for size in (8, 9):
            own.grow(size)
            await soon("copied", lambda: own.anchor().size == own.size)
    copies = [(tmp_path / "a" / PLACE / name).read_bytes() for name in ("8", "9")]
    assert [signers(copies[0], COSIGNER), copies[1]] == [["witness.example/w1"], own.log.note(9)]


async def test_witnesses_are_asked_at_the_same_time() -> None:
    """Neither answers before the other one was asked as well."""
    asked = {"one": asyncio.Event(), "other": asyncio.Event()}

    def witness(key: CosignerSigner, mine: str, theirs: str) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
        async def answer(request: web.BaseRequest) -> web.Response:
            checkpoint = checkpoint_in(read_add_checkpoint(await request.read()).note)
            asked[mine].set()
            await asked[theirs].wait()
            return web.Response(text=f"{key.cosign(checkpoint, NOW)}\n")

        return answer

    async with serving(witness(COSIGNER, "one", "other")) as one, serving(witness(SECOND, "other", "one")) as other:
        both = (*first_witness(one), WitnessSettings(url=other, key=SECOND.vkey))
        async with house([], witnesses=both) as own:
            own.grow(8)
            await soon("cosigned", lambda: own.witness(0).size == own.witness(1).size == 8, 4.0)


@pytest.mark.slow
async def test_a_witness_that_hangs_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round ends with its time limit, and those that are well are asked without it while it is in disgrace."""
    monkeypatch.setattr(asking, "ASK_SECONDS", 2.0)
    monkeypatch.setattr(pace, "FIRST_RETRY_SECONDS", 30.0)
    asked = []

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        await asyncio.sleep(30)
        raise AssertionError

    cosigned: list[bytes] = []
    async with witnessing(tmp_path / "w.db") as well, serving(hang) as hanging:
        both = (WitnessSettings(url=hanging, key=SECOND.vkey), *first_witness(well))
        async with house(cosigned, witnesses=both) as own:
            for size in (8, 9, 10):
                own.grow(size)
                await soon("cosigned", lambda: own.witness(1).size == own.size)
            assert (own.witness(0).size, own.witness(0).error) == (0, "no answer within 2 seconds")
    assert asked == ["/add-checkpoint"]


async def test_a_ledger_that_was_put_back_raises_the_alarm(tmp_path: Path) -> None:
    """From witness and directory as long as they disagree, from an endpoint at each size that it has."""
    cosigned: list[bytes] = []
    store = OnceStore()
    (tmp_path / "a").mkdir()
    async with witnessing(tmp_path / "w.db") as witness, serving(store.handle) as url:
        places = (f"file:{tmp_path / 'a'}", url)
        async with house(cosigned, *places, witnesses=first_witness(witness)) as own:
            own.grow(12)
            await soon("copied", lambda: own.anchor(0).size == own.anchor(1).size == 12)
        with capture_logs() as said:
            async with house(cosigned, *places, witnesses=first_witness(witness)) as own:
                own.log = Log(3)
                own.grow(8)
                await soon("alarm", lambda: own.witness().disagrees and own.anchor(0).disagrees)
                own.grow(12)
                await soon("alarm", lambda: own.anchor(1).disagrees)
                own.grow(16)
                everybody = own.running.status
                await soon("asked", lambda: str(everybody()).count("these 16") == 2 and own.anchor(1).size == 16)
                status = own.running.status()
    assert [each.disagrees for each in (*status.witnesses, *status.anchors)] == [True, True, False]
    assert (status.witnesses[0].size, status.anchors[0].size, status.anchors[1].size) == (0, 0, 16)
    failures = [line for line in said if line["event"] == "outward_failed"]
    assert {(line["log_level"], line["code"]) for line in failures} == {("error", "outward_disagrees")}
    assert [signers(note, COSIGNER) for note in cosigned] == [["witness.example/w1"]]


async def test_what_it_knew_before_a_restart_it_knows_again(tmp_path: Path) -> None:
    """One request is enough then; a status that cannot be read is none."""
    asked: list[bytes] = []
    cosigned: list[bytes] = []

    async def listen(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(await request.read())
        return web.Response(status=503)

    async with serving(listen) as url:
        before = {"witnesses": [{"name": COSIGNER.name, "kind": "witness", "size": 5, "time": 7.5}]}
        for known in (before, {"witnesses": "no"}, {}, {"witnesses": [{**before["witnesses"][0], "name": "other"}]}):
            async with house(cosigned, witnesses=first_witness(url), before=known) as own:
                own.grow(8)
                await soon("asked", lambda: own.witness().error)
                status = own.witness()
            assert (status.size, status.time == 7.5) == ((5, True) if known is before else (0, False))
            assert asked[0].split(b"\n")[0] == (b"old 5" if known is before else b"old 0")
            asked.clear()


def test_a_status_is_written_and_read() -> None:
    """As plain values, for the auditor's status file."""
    status = anchoring.AnchoringStatus(
        (OutwardStatus(name="w", kind="witness", size=3, time=1.0),),
        (OutwardStatus(name="a", kind="anchor", size=0, time=2.0, error="no", disagrees=True),),
    )
    assert read_outward(msgspec.json.decode(msgspec.json.encode(status))) == status


async def test_an_anchor_keeps_its_pace(tmp_path: Path) -> None:
    """Of many checkpoints it takes the first and, after its time, the newest."""
    (tmp_path / "a").mkdir()
    async with house([], f"file:{tmp_path / 'a'}", every_seconds=1) as own:
        own.grow(1)
        await soon("first", lambda: own.anchor().size == 1)
        for size in (2, 3, 4):
            own.grow(size)
            await asyncio.sleep(0.05)
        assert own.anchor().size == 1
        await soon("newest", lambda: own.anchor().size == 4)
    assert sorted(each.name for each in (tmp_path / "a" / PLACE).iterdir()) == ["1", "4", "latest"]


async def test_a_log_that_stands_still_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The witness signs again, in place of before; the anchor is looked at: so a dead one is noticed."""
    monkeypatch.setattr(pace, "CONFIRM_SECONDS", 0.1)
    (tmp_path / "a").mkdir()
    cosigned: list[bytes] = []
    async with (
        witnessing(tmp_path / "w.db") as witness,
        house(cosigned, f"file:{tmp_path / 'a'}", witnesses=first_witness(witness)) as own,
    ):
        own.grow(8)
        await soon("copied", lambda: own.anchor().size == 8)
        seen = own.witness().time, own.anchor().time
        await asyncio.sleep(1.0)
        own.running.published(cosigned[-1], own.log.reader)
        await soon("confirmed", lambda: own.witness().time > seen[0] + 1 and own.anchor().time > seen[1])
    assert {tuple(signers(note, COSIGNER)) for note in cosigned} == {("witness.example/w1",)}
    assert [len(note.splitlines()) for note in (cosigned[0], cosigned[-1])] == [6, 6]
    assert cosigned[0] != cosigned[-1]


async def test_the_end_brings_the_newest_checkpoint_out(tmp_path: Path) -> None:
    """Though the anchor's time has not come; one that is in trouble is not waited for."""
    (tmp_path / "a").mkdir()
    cosigned: list[bytes] = []
    async with witnessing(tmp_path / "w.db") as witness:
        places = (f"file:{tmp_path / 'a'}", f"file:{tmp_path / 'gone'}")
        async with house(cosigned, *places, witnesses=first_witness(witness), every_seconds=3600) as own:
            own.grow(1)
            await soon("first", lambda: own.anchor(0).size == 1 and own.anchor(1).error)
            own.grow(9)
            await asyncio.wait_for(own.running.close(20.0), 10)
            assert (own.witness().size, own.anchor(0).size, own.anchor(1).size) == (9, 9, 0)
    assert signers((tmp_path / "a" / PLACE / "9").read_bytes(), COSIGNER) == ["witness.example/w1"]


async def test_the_end_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that hangs costs the stated time, and no more; what was not brought out is said."""
    gate = threading.Event()
    monkeypatch.setattr(DirectoryAnchor, "_write", lambda self, item: gate.wait(20))
    with capture_logs() as said:
        async with house([], f"file:{tmp_path}") as own:
            own.grow(8)
            began = time.monotonic()
            await own.running.close(0.2)
            assert time.monotonic() - began < 5
    gate.set()
    assert [line["event"] for line in said] == ["not_anchored_at_the_end"]


async def test_it_ends_though_nothing_was_ever_published(tmp_path: Path) -> None:
    """Or though it was never started."""
    async with house([], f"file:{tmp_path}") as own:
        await own.running.close()

    async def publish(_note: bytes) -> None:
        """Nobody calls it."""

    await Anchoring(AuditSettings(), SystemClock(), publish).close()


async def test_a_mistake_ends_no_task(tmp_path: Path) -> None:
    """What nobody thought of is said, and tried again; the anchor gets its copy all the same."""
    (tmp_path / "a").mkdir()

    class Broken(Leaves):
        def subtree_root(self, level: int, index: int) -> bytes:
            raise KeyError("tile")

    async with (
        witnessing(tmp_path / "w.db") as witness,
        serving(OnceStore().handle) as url,
        house([], url, witnesses=first_witness(witness)) as own,
    ):
        own.grow(3)
        await soon("cosigned", lambda: own.witness().size == 3)
        with capture_logs() as said:
            own.running.published(own.log.note(8), Broken([]))
            await soon("copied", lambda: own.anchor().size == 8)
        assert own.witness().error == "unforeseen: KeyError"
        own.grow(9)
        await soon("cosigned", lambda: own.witness().size == 9)
    assert {line["event"] for line in said} == {"internal_fault", "outward_failed"}


def test_what_is_no_checkpoint_is_not_taken() -> None:
    """The auditor is told at once."""

    async def publish(_note: bytes) -> None:
        """Nobody calls it."""

    with pytest.raises(MalformedError):
        Anchoring(AuditSettings(), SystemClock(), publish).published(b"no note", Leaves([]))


def test_what_cannot_be_used_is_refused() -> None:
    """Before anything is started."""

    async def publish(_note: bytes) -> None:
        """Nobody calls it."""

    with pytest.raises(ConfigurationError, match=r"audit\.anchors\[0\]\.to: "):
        Anchoring(AuditSettings(anchors=(AnchorSettings(to="nowhere"),)), SystemClock(), publish)
