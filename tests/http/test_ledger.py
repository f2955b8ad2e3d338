"""The logs of the ledger on the admin listener: a client that has nothing but HTTP and the node's key checks them."""

import asyncio
import shutil
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from authz.audit import PruneRequest, begin_successor, compress_sealed, prune
from authz.audit.segment import segment_names
from authz.tlog import (
    TILE_WIDTH,
    CompactRange,
    TileMissingError,
    TileReader,
    VerifierKey,
    consistency_proof,
    entries_path,
    inclusion_proof,
    leaf_hash,
    open_checkpoint,
    read_entry_bundle,
    tile_path,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.audit import days
from tests.audit.published import NODE, key_of, leaves, publish
from tests.audit.signed_ledger import accessed, append_all, roll_up

from .conftest import Answer, Running, Start

STREAM = "main"
EVENTS = 350
SIZE = 2 * (EVENTS + 2)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lives of the stream `main`, signed after each of them, and rolled up. Nobody changes it."""
    state = tmp_path_factory.mktemp("original") / "state"
    state.mkdir()
    for life in range(2):
        append_all(state / "audit", STREAM, [accessed(life * EVENTS + number) for number in range(EVENTS)])
        publish(state, STREAM)
    roll_up(state, [STREAM])
    return state


@pytest.fixture
def state(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(original, tmp_path / "state"))


@pytest.fixture
async def served(state: Path, start: Start) -> Running:
    """A sidecar over that ledger, which nobody signs any further."""
    return await start(**{"audit.auditor": "off"})


def auditor(running: Running) -> str:
    return running.token("root", "admin_readonly")


async def get(running: Running, path: str, method: str = "GET") -> Answer:
    return await running.send(method, f"{running.admin}/v1/audit/{path}", token=auditor(running))


class Client:
    """A client of one log, as others write them."""

    def __init__(self, running: Running, stream: str = STREAM) -> None:
        self.prefix = f"{running.admin}/v1/audit/log/{stream}"
        self.token = auditor(running)
        self.key = key_of(running.state).verifier
        self.origin = f"{NODE}/{stream}"

    def fetch(self, path: str) -> bytes:
        request = Request(f"{self.prefix}/{path}", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urlopen(request, timeout=10) as response:
                return bytes(response.read())
        except HTTPError as error:
            with error:
                raise TileMissingError(f"{path}: {error.code}") from None

    def head(self) -> tuple[int, bytes]:
        key: VerifierKey = self.key.named(self.origin)
        found = open_checkpoint(self.fetch("checkpoint"), key, self.origin)
        return found.size, found.root

    def entries(self, size: int) -> list[bytes]:
        full, rest = divmod(size, TILE_WIDTH)
        paths = [entries_path(index) for index in range(full)] + ([entries_path(full, rest)] if rest else [])
        return [entry for path in paths for entry in read_entry_bundle(self.fetch(path))]


def check_all(client: Client, number: int) -> bytes:
    """The tree from the tiles, the tree from the entries, the proof of one entry; returns that entry."""
    size, root = client.head()
    reader = TileReader(client.fetch, size)
    assert tree_root(size, reader) == root
    entries = client.entries(size)
    tree = CompactRange()
    tree.extend([leaf_hash(entry) for entry in entries])
    assert (tree.size, tree.root()) == (size, root)
    proof = inclusion_proof(number, size, reader)
    verify_inclusion(number, size, leaf_hash(entries[number]), proof, root)
    return entries[number]


async def test_a_client_with_http_alone_checks_the_whole_log(served: Running) -> None:
    """Root from the tiles, root from the entries and the proof of an event agree with the signed checkpoint."""
    entry = await asyncio.to_thread(check_all, Client(served), 500)
    assert entry == b"".join(served_lines(served))[:-1].split(b"\n")[500]


def served_lines(running: Running) -> list[bytes]:
    stream = running.state / "audit" / STREAM
    return [(stream / name).read_bytes() for name in segment_names(stream)]


async def test_entries_of_compressed_segments_are_the_same(state: Path, start: Start) -> None:
    """They are unpacked on the way; nothing else about them changes."""
    for life in range(2):
        await asyncio.to_thread(append_all, state / "audit", STREAM, [accessed(life)])
    publish(state, STREAM)
    running = await start(**{"audit.auditor": "off"})
    before = await asyncio.to_thread(check_all, Client(running), 300)
    compress_sealed(state / "audit")
    assert len(list((state / "audit" / STREAM).glob("*.zst"))) == 2
    assert len(list((state / "audit" / STREAM).glob("*.jsonl"))) == 2
    assert await asyncio.to_thread(check_all, Client(running), 300) == before


async def test_what_each_part_is_sent_as(served: Running) -> None:
    """Text and bytes, never to be kept by a cache; HEAD is the same without the body."""
    for path, kind in (
        ("checkpoint", "text/plain; charset=utf-8"),
        (f"log/{STREAM}/checkpoint", "text/plain; charset=utf-8"),
        (f"log/{STREAM}/tile/0/000", "application/octet-stream"),
        (f"log/{STREAM}/tile/entries/002.p/{SIZE - 512}", "application/octet-stream"),
    ):
        answer, head = await get(served, path), await get(served, path, "HEAD")
        said = [(one.status, one.headers["content-type"], one.headers["cache-control"]) for one in (answer, head)]
        assert said == [(200, kind, "no-store")] * 2
        assert (head.body, head.headers["content-length"]) == (b"", str(len(answer.body)))
        assert answer.body
    posted = await get(served, f"log/{STREAM}/checkpoint", "POST")
    assert posted.status == 405


async def test_the_node_s_log_is_that_of_its_own_stream(served: Running) -> None:
    """Also after that stream had to go on under another name."""
    name = "auditor"
    for _ in range(2):
        note = (served.state / "audit" / "tiles" / name / "checkpoint").read_bytes()
        answers = [await get(served, path) for path in ("checkpoint", "log/node/checkpoint", f"log/{name}/checkpoint")]
        assert [answer.body for answer in answers] == [note] * 3
        if name == "auditor":
            name = (await asyncio.to_thread(begin_successor, served.state / "audit", name, "drill")).successor
            await asyncio.to_thread(publish, served.state, name)
    tile = await get(served, "log/node/tile/entries/000.p/1")
    assert b'"stream":"auditor.1"' in read_entry_bundle(tile.body)[0]


async def test_nothing_beyond_the_checkpoint_is_served(served: Running) -> None:
    """It may be on the disk already; what is not signed may still turn out to be nothing."""
    more = [accessed(number) for number in range(300)]
    await asyncio.to_thread(append_all, served.state / "audit", STREAM, more)
    note = (served.state / "audit" / "tiles" / STREAM / "checkpoint").read_bytes()
    publish(served.state, STREAM)
    (served.state / "audit" / "tiles" / STREAM / "checkpoint").write_bytes(note)
    for path in (
        "tile/0/002",
        "tile/entries/002",
        f"tile/entries/002.p/{SIZE - 512 + 1}",
        "tile/1/000.p/3",
        "tile/7/000",
    ):
        answer = await get(served, f"log/{STREAM}/{path}")
        assert (answer.status, answer.body["detail"]) == (
            404,
            f"{path} is beyond the newest checkpoint of {STREAM}, which covers {SIZE} records.",
        )
    for stream in ("worker-0", "nowhere"):
        answer = await get(served, f"log/{stream}/checkpoint")
        assert (answer.status, answer.body["detail"].partition(":")[0]) == (404, f"There is no checkpoint of {stream}")


async def test_a_client_with_an_old_checkpoint_still_gets_its_tiles(served: Running) -> None:
    """Partial tiles that went are the beginning of those that took their place."""
    client = Client(served)
    old = EVENTS + 2
    for tile in (tile_path(0, 1, old - TILE_WIDTH), tile_path(1, 0, 1)):
        (served.state / "audit" / "tiles" / STREAM / tile).unlink()

    def check() -> None:
        size, root = client.head()
        now = TileReader(client.fetch, size)
        then = TileReader(client.fetch, old)
        tree = CompactRange()
        tree.extend(leaves(served.state / "audit" / STREAM)[:old])
        assert tree_root(old, then) == tree.root()
        verify_consistency(old, size, consistency_proof(old, size, now), tree.root(), root)
        assert len(client.fetch(tile_path(0, 1, old - TILE_WIDTH))) == 32 * (old - TILE_WIDTH)

    await asyncio.to_thread(check)


ODD_PATHS = (
    "",
    "/",
    "/main",
    "/main/",
    "/main/.",
    "/main/../../keys/audit.key",
    "/../audit/main/checkpoint",
    "/%2e%2e/keys/audit.pub",
    "/main/%63heckpoint",
    "/main//checkpoint",
    "/main/checkpoint/",
    "//main/checkpoint",
    "/MAIN/checkpoint",
    "/tiles/checkpoint",
    "/main/tile/0/0",
    "/main/tile/0/000.p/0",
    "/main/tile/0/000.p/256",
    "/main/tile/0/000.p/01",
    "/main/tile/00/000",
    "/main/tile/64/000",
    "/main/tile/-1/000",
    "/main/tile/0/x000/000",
    "/main/tile/0/../0/000",
    "/main/tile/0/%30%30%30",
    "/main/tile/entries/000/",
    "/main/tile/Entries/000",
    "/main/tile/0/x999/x999/x999/x999/x999/x999/999",
    "/main/lock",
    "/main/000000000001.jsonl",
)


async def raw_status(running: Running, target: str) -> bytes:
    """The status line for a target sent as it is: clients tidy theirs up."""
    host, _, port = running.admin.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = f"Host: x\r\nAuthorization: Bearer {auditor(running)}\r\nConnection: close\r\n\r\n"
    writer.write(f"GET {target} HTTP/1.1\r\n{fields}".encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer.split(b"\r\n")[0]


async def test_a_path_in_any_other_spelling_leads_nowhere(served: Running) -> None:
    """Nothing is decoded, folded or corrected, so that one part has one name; and nothing but the log is reached."""
    found = {path: await raw_status(served, f"/v1/audit/log{path}") for path in ODD_PATHS}
    assert found == dict.fromkeys(ODD_PATHS, b"HTTP/1.1 404 Not Found")
    assert await raw_status(served, f"/v1/audit/log/{STREAM}/tile/0/000") == b"HTTP/1.1 200 OK"


async def test_a_query_changes_nothing(served: Running) -> None:
    """As everywhere on this listener."""
    answers = [await get(served, f"log/{STREAM}/tile/0/000{query}") for query in ("", "?x=../../y")]
    assert answers[0].body == answers[1].body


async def test_the_scope_of_the_ledger_is_asked_for(served: Running) -> None:
    """Of everybody, for every part, and each try is recorded."""
    id_ = (await served.events(limit=1, type="memory.accessed"))[0]["id"]
    for path in ("checkpoint", f"log/{STREAM}/checkpoint", f"log/{STREAM}/tile/0/000", f"events/{id_}", f"proof/{id_}"):
        answers = [
            await served.send("GET", f"{served.admin}/v1/audit/{path}", token=token)
            for token in (None, served.token("alice", "user_premium"), auditor(served))
        ]
        assert [answer.status for answer in answers] == [401, 403, 200]
        events = await served.events(limit=3, type="admin.access")
        assert [(event["decision"], event["resource"]["id"]) for event in events] == [
            ("allow", "admin:audit:read"),
            ("deny", "admin:audit:read"),
            ("deny", "admin:audit:read"),
        ]


async def test_one_event_by_its_id(served: Running) -> None:
    """As the list has it; an id that nobody had is 404."""
    [listed] = await served.events(limit=1, type="memory.accessed")
    found = await get(served, f"events/{listed['id']}")
    assert (found.status, found.headers["content-type"], found.body) == (200, "application/json", listed)
    unknown = await get(served, "events/no%2Fsuch")
    assert (unknown.status, unknown.body["detail"]) == (404, "there is no event 'no/such'")


async def test_what_was_pruned_is_said_to_be(tmp_path: Path, start: Start) -> None:
    """Entries and leaf hashes before the cut are gone with a sentence; all else is there, the roots too."""
    state = tmp_path / "state"
    await asyncio.to_thread(days.live, state, 0, 6)
    size = days.sign(state)
    await asyncio.to_thread(prune, state / "audit", PruneRequest(days.midnight(4), None, streams=(STREAM,)))
    running = await start(**{"audit.auditor": "off"})
    first = int(days.names(state)[0][:12])
    for path in (entries_path(0), tile_path(0, 0), entries_path((first - 2) // TILE_WIDTH)):
        answer = await get(running, f"log/{STREAM}/{path}")
        detail = f"{path} is gone: records of {STREAM} before number {first} were pruned."
        assert (answer.status, answer.body["detail"]) == (404, detail)
    kept = -(-(first - 1) // TILE_WIDTH)
    width = size - kept * TILE_WIDTH
    bundle = await get(running, f"log/{STREAM}/{entries_path(kept, width)}")
    hashes = await get(running, f"log/{STREAM}/{tile_path(0, kept, width)}")
    assert b"".join(map(leaf_hash, read_entry_bundle(bundle.body))) == hashes.body
    assert (await get(running, f"log/{STREAM}/tile/1/000.p/{size // TILE_WIDTH}")).status == 200


@pytest.mark.parametrize("damage", ["tile cut", "tile gone", "segment gone", "record gone", "checkpoint"])
async def test_damage_is_not_served_as_something_else(served: Running, damage: str) -> None:
    """503 with a sentence that says where to look, and nothing of what is on the disk."""
    tiles, stream = served.state / "audit" / "tiles" / STREAM, served.state / "audit" / STREAM
    path, code = "tile/entries/001", "audit_damaged"
    match damage:
        case "tile cut":
            path = "tile/0/000"
            (tiles / path).write_bytes((tiles / path).read_bytes()[:-1])
        case "tile gone":
            path = "tile/0/000"
            (tiles / path).unlink()
        case "segment gone":
            (stream / segment_names(stream)[0]).unlink()
        case "record gone":
            segment = stream / segment_names(stream)[0]
            lines = segment.read_bytes().splitlines(keepends=True)
            segment.chmod(0o600)
            segment.write_bytes(b"".join(lines[:299] + lines[300:]))
        case "checkpoint":
            code = "audit_unreadable"
            (tiles / "checkpoint").write_bytes(b"nonsense")
    answer = await get(served, f"log/{STREAM}/{path}")
    assert (answer.status, answer.body["reason"]) == (503, code)
    assert str(served.state) not in str(answer.body)


async def test_reading_the_log_does_not_hold_up_anybody(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads are off the loop and two at a time, so other requests are answered meanwhile."""
    gate, inside, most = threading.Event(), [0], [0]

    def slow(*_: object) -> bytes:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        gate.wait(10)
        inside[0] -= 1
        return b"x"

    monkeypatch.setattr("authz.audit.served", slow)
    asked = [asyncio.create_task(get(served, f"log/{STREAM}/checkpoint")) for _ in range(6)]
    async with asyncio.timeout(10):
        while inside[0] < 2:
            await asyncio.sleep(0.01)
        assert (await served.send("GET", f"{served.admin}/healthz")).status == 200
        gate.set()
        assert [(await one).status for one in asked] == [200] * 6
    assert most[0] == 2
