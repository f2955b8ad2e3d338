"""The table of identities: one salt for one value, durable before it is used, and nobody gets a neighbour's."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from authz.core import AuditUnavailableError, ConfigurationError, Identified, OverloadedError
from authz.identity import Pseudonymiser
from authz.privacy.kept import NamedIdentities, SaltedIdentities
from authz.privacy.settling import Settling
from authz.privacy.store import IdentityStore, Wanted, erase_epoch, erase_rows, find_salted, open_store, read_names

KEY = Pseudonymiser(b"k" * 32)
ALICE = Identified("alice", "s-1", ("42", "alice"))


def seal(value: str, pseudonym: str) -> bytes:
    return f"sealed {len(value)} {pseudonym}".encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "identities" / "identities.db"


Opened = Callable[..., Settling]


@pytest.fixture
async def opened(file: Path) -> AsyncIterator[Opened]:
    """Opens the table for use; closed at the end."""
    all_of_them: list[Settling] = []

    def start(*, salting: bool = True, limit: int = 100) -> Settling:
        all_of_them.append(Settling(IdentityStore(file, KEY, salting=salting, seal=seal), limit))
        return all_of_them[-1]

    yield start
    for each in all_of_them:
        await each.close()


async def test_salts_last_and_differ(file: Path, opened: Opened) -> None:
    """A value has its pseudonym for good, by whichever process it is asked; another file has another one."""
    first = SaltedIdentities(opened(), strict=True, naming=False)
    second = SaltedIdentities(opened(), strict=True, naming=False)
    made = await first.disguise(ALICE)
    again = await second.disguise(Identified("alice"))
    assert made.pseudonym("alice") == again.pseudonym("alice") == find_salted(file, [KEY], "alice")[0]
    assert made.pseudonym("alice") != KEY.pseudonym("alice")
    assert made.pseudonym("42") == find_salted(file, [KEY], "42")[0]
    elsewhere = IdentityStore(file.with_name("other.db"), KEY, salting=True)
    assert elsewhere.settle([Wanted("alice", make=True)]) != [made.pseudonym("alice")]
    elsewhere.close()


async def test_a_salt_is_durable_before_it_is_used(file: Path, opened: Opened) -> None:
    """When a pseudonym comes back another connection reads its salt."""
    made = await SaltedIdentities(opened(), strict=True, naming=False).disguise(ALICE)
    connection = open_store(file)
    assert connection.execute("SELECT count(*), count(salt) FROM identity").fetchone() == (3, 3)
    connection.close()
    assert find_salted(file, [KEY], "s-1") == (made.pseudonym("s-1"),)


async def test_nobody_gets_a_neighbours_pseudonym(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait in one group each get their own, also when some of them have stopped waiting."""
    settling = opened()
    gate = threading.Event()
    first = asyncio.create_task(settling.run(gate.wait))
    tasks = [asyncio.create_task(settling.settle([Wanted(f"{n}-{m}", make=True) for m in range(n)])) for n in range(6)]
    await asyncio.sleep(0)
    for task in tasks[1:5:2]:
        task.cancel()
    gate.set()
    await first
    found = await asyncio.gather(*tasks, return_exceptions=True)
    for number in (0, 2, 4, 5):
        expected = await settling.settle([Wanted(f"{number}-{m}", make=False) for m in range(number)])
        assert found[number] == expected
        assert None not in expected


async def test_who_waits_too_long_or_comes_too_late(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that does not answer, or has too many waiting, is an error that says so."""
    monkeypatch.setattr("authz.privacy.settling.PATIENCE_SECONDS", 0.05)
    settling = opened(limit=2)
    gate = threading.Event()
    blocked = asyncio.create_task(settling.run(gate.wait))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(settling.settle([Wanted(str(n), make=True)])) for n in range(4)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    gate.set()
    await blocked
    # The first is taken into a group at once, two wait behind it.
    assert [type(each) for each in found].count(OverloadedError) == 2
    assert [str(each) for each in found if isinstance(each, AuditUnavailableError)] == [
        "the table of identities does not answer"
    ] * 2


async def test_names_are_kept_beside_keyed_pseudonyms(file: Path, opened: Opened) -> None:
    """A record under a key does not wait for its name; the name is there soon, once, and under that pseudonym."""
    settling = opened(salting=False)
    named = NamedIdentities(KEY, settling)
    assert await named.disguise(ALICE) is KEY
    assert await named.disguise(Identified(None, "s-1", ("42",))) is KEY
    await settling.settle([])
    assert read_names(file, [KEY.pseudonym("alice"), KEY.pseudonym("42")]) == {
        KEY.pseudonym("alice"): seal("alice", KEY.pseudonym("alice"))
    }
    assert find_salted(file, [KEY], "alice") == ()


async def test_switching_to_salts_salts_everybody(file: Path, opened: Opened) -> None:
    """Somebody who has a name from keyed times gets a salt and a name of her own; erasing takes both rows."""
    await NamedIdentities(KEY, keyed := opened(salting=False)).disguise(ALICE)
    await keyed.settle([])
    made = await SaltedIdentities(opened(), strict=True, naming=True).disguise(ALICE)
    assert made.pseudonym("alice") != KEY.pseudonym("alice")
    pseudonyms = [KEY.pseudonym("alice"), made.pseudonym("alice")]
    assert read_names(file, pseudonyms) == {each: seal("alice", each) for each in pseudonyms}
    assert erase_rows(file, [KEY], "alice", dry_run=False) == (2, 1, 2)
    assert read_names(file, pseudonyms) == {}


def test_erasing_leaves_no_byte(file: Path) -> None:
    """Of thousands of rows one goes, and neither file nor log holds its salt, its name or its handle any more."""
    store = IdentityStore(file, KEY, salting=True, seal=seal)
    people = [Wanted(f"person-{number}", make=True, named=True) for number in range(3_000)]
    for group in _groups(people):
        store.settle(group)
    connection = open_store(file)
    row = connection.execute(
        "SELECT handle, salt, name FROM identity WHERE handle = ?", (KEY.handle("person-1500", salted=True),)
    ).fetchone()
    assert [value in _bytes(file) for value in row] == [True] * 3
    assert erase_rows(file, [KEY], "person-1500", dry_run=True) == (1, 0, 1)
    assert erase_rows(file, [KEY], "person-1500", dry_run=False) == (1, 0, 1)
    assert [value in _bytes(file) for value in row] == [False] * 3
    assert connection.execute("SELECT count(*) FROM identity").fetchone() == (2_999,)
    assert store.changed_elsewhere()
    assert not store.changed_elsewhere()
    connection.close()
    store.close()


def test_an_epoch_goes_with_its_key(file: Path) -> None:
    """Rows of a destroyed key go, those of others stay."""
    other = Pseudonymiser(b"o" * 32)
    for key in (KEY, other):
        store = IdentityStore(file, key, salting=True)
        store.settle([Wanted(name, make=True) for name in ("alice", "bob")])
        store.close()
    assert len(find_salted(file, [KEY, other], "alice")) == 2
    assert erase_epoch(file, KEY.key_id) == 2
    assert [each.split(":")[1] for each in find_salted(file, [KEY, other], "alice")] == [other.key_id]


def test_a_table_of_another_kind_is_refused(file: Path) -> None:
    """A file that is no table of ours, or of a later version, is a configuration error and is left as it is."""
    file.parent.mkdir()
    file.write_bytes(b"no database at all, but long enough to be told from an empty file " * 20)
    with pytest.raises(ConfigurationError, match=r"audit\.identities: .* cannot be used: file is not a database"):
        IdentityStore(file, KEY, salting=True)
    later = file.with_name("later.db")
    connection = sqlite3.connect(later)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(ConfigurationError, match="is of version 2, not 1"):
        IdentityStore(later, KEY, salting=True)


def test_the_table_is_for_its_owner(file: Path) -> None:
    """The directory is 0700 and every file in it 0600."""
    store = IdentityStore(file, KEY, salting=True)
    store.settle([Wanted("alice", make=True)])
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    store.close()


def _bytes(file: Path) -> bytes:
    return b"".join(path.read_bytes() for path in file.parent.iterdir())


def _groups(people: Sequence[Wanted]) -> list[Sequence[Wanted]]:
    return [people[at : at + 100] for at in range(0, len(people), 100)]
