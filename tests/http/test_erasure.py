"""Erasing one person from a running service: no link is left, everything verifies, everybody else is found."""

import asyncio
import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from authz.audit import get_audit_events, verify_audit_integrity
from authz.cli import program
from authz.privacy import DEFAULT_KEY, load_keyring, rotate_key

from .conftest import Running, Start

PEOPLE = ("alice@example.com", "bob@example.com", "carol@example.com")
ALICE, BOB, CAROL = PEOPLE


async def live(running: Running) -> None:
    """Everybody reads their own profile and Alice's, in a session of their own; a stranger asks for Alice's too."""
    for person in PEOPLE:
        token = running.token(person, "user_basic", sid=f"session-of-{person}")
        await running.check("GET", f"/users/{person}/profile", token=token)
        await running.check("GET", f"/users/{ALICE}/profile", token=token)
        await running.check("GET", f"/nowhere/{person}", token=token)
    await running.check("GET", f"/users/{ALICE}/profile")
    question = {
        "subject": {"type": "user", "id": ALICE},
        "action": {"name": "use"},
        "resource": {"type": "person", "id": ALICE, "properties": {"owner": ALICE}},
        "context": {"on_behalf_of": ALICE, "friend": BOB},
    }
    await running.evaluate(question)
    await running.evaluate({**question, "subject": {"type": "user", "id": BOB}})


async def found(running: Running, **filters: Any) -> list[str]:
    return [event["id"] for event in await running.events(limit=1000, **filters)]


async def everything_about(running: Running, person: str) -> dict[str, list[str]]:
    """What every search for a person finds, by her clear id and her session's."""
    return {
        "subject": await found(running, subject=person),
        "param": await found(running, params={"id": person}),
        "session": await found(running, session_id=f"session-of-{person}"),
    }


async def erase(running: Running, person: str, **body: Any) -> dict[str, Any]:
    answer = await running.send(
        "POST",
        f"{running.admin}/v1/audit/erase",
        {"subject": person, **body},
        token=running.token("root", "admin"),
    )
    assert answer.status == 200, answer.body
    return dict(answer.body)


def segments(state: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (state / "audit").rglob("*.jsonl")}


def table(state: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(state / "identities" / "identities.db")) as connection:
        return sorted(connection.execute("SELECT handle, salt, owner FROM identity"))


def break_table(state: Path) -> None:
    with closing(sqlite3.connect(state / "identities" / "identities.db")) as connection:
        connection.execute("DROP TABLE identity")


async def test_erasing_one_leaves_no_link_and_all_the_others(start: Start) -> None:
    """Afterwards nothing that is kept leads to her; what was recorded is as it was, and everybody else is found."""
    running = await start(**{"audit.privacy": "salts"})
    await live(running)
    before = {person: await everything_about(running, person) for person in PEOPLE}
    pseudonyms = set(running.pdp._parts.privacy.known(ALICE))
    ledger, rows = segments(running.state), table(running.state)
    would = await erase(running, ALICE, dry_run=True)
    assert {name: await everything_about(running, name) for name in PEOPLE} == before
    assert set(rows) <= set(table(running.state))
    did = await erase(running, ALICE, reference="case 17")

    # What it said.
    assert {name: len(ids) for name, ids in before[ALICE].items()} == {"subject": 4, "param": 5, "session": 3}
    assert would == {**did, "dry_run": True, "receipt": None}
    # Her profile, asked for by four; twice by herself; her unknown path; two evaluations.
    assert did | {"receipt": ""} == {
        "dry_run": False, "identities": 1, "owned": 1, "names": 0, "unlinked": 8, "linked": {}, "complete": True,
        "receipt": "",
    }  # fmt: skip
    # Nothing leads to her: not her clear id, not a key with any salt that is left, and no byte of her rows.
    assert await everything_about(running, ALICE) == {"subject": [], "param": [], "session": []}
    gone = [row for row in rows if row not in table(running.state)]
    assert len(gone) == 2
    kept = b"".join(path.read_bytes() for path in (running.state / "identities").iterdir())
    assert [value for row in gone for value in row[:2] if value in kept] == []
    texts = "".join(content.decode() for content in segments(running.state).values())
    keys = load_keyring(running.state / DEFAULT_KEY).all
    left = {key.salted(salt, ALICE) for key in keys for _, salt, _ in table(running.state)}
    assert {each for each in left | {key.pseudonym(ALICE) for key in keys} if each in texts} == set()
    assert {each for each in pseudonyms if each in texts} != set()
    # Everything verifies, and what was recorded is as it was.
    assert await asyncio.to_thread(running.pdp.audit_integrity) == (True, [])
    assert all(segments(running.state)[path].startswith(content) for path, content in ledger.items())
    # Everybody else is found, as before.
    assert {person: await everything_about(running, person) for person in (BOB, CAROL)} == {
        person: before[person] for person in (BOB, CAROL)
    }
    # The receipt says that it was done, and not to whom.
    [receipt] = await running.events(type="audit.erased")
    assert receipt["id"] == did["receipt"]
    assert {name: receipt[name] for name in ("identities", "owned", "names", "reference")} == {
        "identities": 1, "owned": 1, "names": 0, "reference": "case 17",
    }  # fmt: skip
    assert [value for value in (ALICE, *pseudonyms) if value in json.dumps(receipt)] == []


async def test_who_comes_back_is_somebody_new(start: Start) -> None:
    """After an erasure the same person has another pseudonym, is found under it, and can be erased again."""
    running = await start(**{"audit.privacy": "salts"})
    await live(running)
    [old] = {event["subject"] for event in await running.events(subject=ALICE)}
    await erase(running, ALICE)
    await running.check("GET", "/memory", token=running.token(ALICE, "user_basic"))
    [event] = await running.events(subject=ALICE)
    assert event["subject"] != old
    assert (await erase(running, ALICE))["unlinked"] == 1
    assert await running.events(subject=ALICE) == []


async def test_one_record_can_be_replayed(start: Start) -> None:
    """Within a record the same value has the same pseudonym wherever it stands: ownership can be asked again."""
    running = await start(**{"audit.privacy": "salts"})
    await live(running)
    own = [event for event in await running.events(limit=100, subject=ALICE) if event.get("params")]
    assert [event["params"]["id"] == event["subject"] for event in own] == [True, True]
    [asserted] = [event for event in await running.events(limit=100, subject=ALICE) if event.get("resource")]
    [of_bob] = [event for event in await running.events(limit=100) if event.get("resource") and event != asserted]
    assert {
        asserted["resource"]["id"],
        asserted["resource"]["properties"]["owner"],
        asserted["context"]["on_behalf_of"],
    } == {asserted["subject"]}
    assert asserted["context"]["friend"].startswith("h1:-:")
    assert of_bob["context"]["friend"] != asserted["context"]["friend"]


async def test_a_stranger_makes_no_salts(start: Start) -> None:
    """Who is not identified adds nothing to the table, whatever is asked for; what is known already is found."""
    running = await start(**{"audit.privacy": "salts"})
    await live(running)
    rows = table(running.state)
    for number in range(5):
        await running.check("GET", f"/users/{number}/profile", token="x.y.z")
        await running.check("GET", f"/users/{BOB}/profile")
    assert table(running.state) == rows
    assert len(await found(running, params={"id": BOB}, decision="deny", type="security.failed_login")) == 5


async def test_a_table_that_fails_is_a_503(start: Start) -> None:
    """Strict: whom the table does not know yet gets no answer while it fails; whom it knows goes on."""
    running = await start(**{"audit.privacy": "salts"})
    known = running.token(BOB, "user_basic")
    assert (await running.check("GET", "/memory", token=known)).status == 200
    break_table(running.state)
    new = await running.check("GET", "/memory", token=running.token(CAROL, "user_basic"))
    again = await running.check("GET", "/memory", token=known)
    assert (new.status, new.body["reason"], again.status) == (503, "audit_unavailable", 200)
    assert CAROL not in running.on_disk()


async def test_a_table_that_fails_in_degraded_mode(start: Start) -> None:
    """Degraded: the answer goes out, recorded under a pseudonym that nobody can link."""
    running = await start(**{"audit.privacy": "salts", "audit.mode": "degraded"})
    break_table(running.state)
    answer = await running.check("GET", "/memory", token=running.token(CAROL, "user_basic"))
    [event] = await running.events(type="auth.scope_granted")
    assert (answer.status, event["subject"][:5]) == (200, "h1:-:")


@pytest.mark.slow
async def test_erasing_by_command_beside_a_running_service(start: Start, tmp_path: Path) -> None:
    """The command does the same, its receipt is in the stream of commands, and the service forgets her too."""
    running = await start(**{"audit.privacy": "salts"})
    await live(running)
    run = ["audit", "erase", "--state", str(running.state), "--subject", "-"]
    would = await asyncio.to_thread(CliRunner().invoke, program, [*run, "--dry-run", "--json"], f"{ALICE}\n")
    did = await asyncio.to_thread(CliRunner().invoke, program, run, f"{ALICE}\n")
    assert (would.exit_code, json.loads(would.stdout)["here"]["unlinked"]) == (0, 8)
    assert (did.exit_code, did.stdout.splitlines()[0]) == (0, "here: 2 salts or names erased, 8 records unlinked")
    [receipt] = await running.events(type="audit.erased")
    assert receipt["stream"] == "cli"
    old = await asyncio.to_thread(get_audit_events, 1000, path=running.state)
    async with asyncio.timeout(20):
        while True:
            await running.check("GET", "/memory", token=running.token(ALICE, "user_basic"))
            if newest := await running.events(subject=ALICE):
                break
            await asyncio.sleep(0.1)
    assert newest[0]["subject"] not in {event.get("subject") for event in old}
    assert await asyncio.to_thread(verify_audit_integrity, running.state) == (True, [])


async def test_replicas_are_told_one_by_one(start: Start, tmp_path: Path) -> None:
    """Replicas have a key in common and each its own salts: --url erases on each, and one that is missed is exit 3."""
    (tmp_path / "pseudonym.key").write_text("k" * 64)
    (tmp_path / "pseudonym.key").chmod(0o600)
    (tmp_path / "token").write_text("hammer")
    flags = {
        "audit.privacy": "salts",
        "audit.pseudonym_key": str(tmp_path / "pseudonym.key"),
        "admin.tokens": [{"name": "on-call", "sha256": sha256(b"hammer").hexdigest()}],
    }
    replicas = [await start(**flags), await start(**flags, state=str(tmp_path / "other"))]
    replicas[1].state = tmp_path / "other"
    for replica in replicas:
        await live(replica)
    names = [{event["subject"] for event in await replica.events(subject=ALICE)} for replica in replicas]
    assert [len(each) for each in names] == [1, 1]
    assert names[0] != names[1]
    run = ["audit", "erase", "--subject", ALICE, "--token-file", str(tmp_path / "token"), "--url", replicas[0].admin]
    missed = await asyncio.to_thread(CliRunner().invoke, program, [*run, "--url", "http://127.0.0.1:1"])
    assert (missed.exit_code, "http://127.0.0.1:1: NOT DONE" in missed.stderr) == (3, True)
    assert [len(await replica.events(subject=ALICE)) for replica in replicas] == [0, 4]
    done = await asyncio.to_thread(CliRunner().invoke, program, [*run, "--url", replicas[1].admin])
    assert done.exit_code == 0
    assert f"{replicas[1].admin}: 2 salts or names erased, 8 records unlinked" in done.stdout
    assert [len(await replica.events(subject=ALICE)) for replica in replicas] == [0, 0]


async def test_without_salts_it_says_what_it_cannot_do(start: Start) -> None:
    """Under a key alone nobody is erased while the key is held: it is said, with how many records and which key."""
    running = await start()
    await live(running)
    key = load_keyring(running.state / DEFAULT_KEY).current
    did = await erase(running, ALICE)
    assert (did["complete"], did["unlinked"], did["linked"]) == (False, 0, {key.key_id: 8})
    [receipt] = await running.events(type="audit.erased")
    assert receipt["linked_by"] == [key.key_id]
    run = ["audit", "erase", "--state", str(running.state), "--subject", ALICE, "--dry-run"]
    told = await asyncio.to_thread(CliRunner().invoke, program, run)
    assert told.exit_code == 1
    assert f"authz keys pseudonyms destroy {key.key_id}" in told.stdout


async def test_rotation_keeps_everybody_found_and_a_destroyed_key_nobody(start: Start, tmp_path: Path) -> None:
    """One search finds a person under every key that is held; with the old key destroyed, only under the new one."""
    running = await start()
    await live(running)
    before = await everything_about(running, ALICE)
    await running.pdp.close("rotation")
    rotated = await asyncio.to_thread(rotate_key, running.state, running.state / DEFAULT_KEY)
    again = await start()
    await live(again)
    after = await everything_about(again, ALICE)
    subjects = {event["subject"].split(":")[1] for event in await again.events(limit=1000, subject=ALICE)}
    assert subjects == {rotated.old, rotated.new}
    assert {name: ids[len(ids) // 2 :] for name, ids in after.items()} == before
    [event] = await again.events(type="audit.pseudonyms_rotated")
    assert (event["key_id"], event["previous"]) == (rotated.new, rotated.old)

    run = ["keys", "pseudonyms", "destroy", "--state", str(again.state), "--yes"]
    refused = await asyncio.to_thread(CliRunner().invoke, program, [*run, rotated.new])
    done = await asyncio.to_thread(CliRunner().invoke, program, [*run, rotated.old])
    assert (refused.exit_code, done.exit_code) == (1, 0)
    events = ["audit", "events", "--state", str(again.state), "--limit", "100", "--json", "--subject", ALICE]
    told = await asyncio.to_thread(CliRunner().invoke, program, events)
    assert {event["subject"].split(":")[1] for event in json.loads(told.stdout)} == {rotated.new}
    assert await asyncio.to_thread(verify_audit_integrity, again.state) == (True, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"subject": ""}, "subject: must not be empty"),
        ({"subject": "h1:abc:def"}, "subject: give the clear id; rows of the table are not found by a pseudonym"),
        ({"subject": "ann", "reference": "Ann, 17"}, "reference: names the subject; it stands in the ledger for ever"),
        ({"subject": 5}, "body: must be {subject, reference?, dry_run?} and nothing else"),
        ({"subject": "ann", "who": "me"}, "body: must be {subject, reference?, dry_run?} and nothing else"),
    ],
)  # fmt: skip
async def test_what_cannot_be_erased_is_refused(running: Running, body: Any, message: str) -> None:
    """A wrong question is a 400 that does not repeat what was sent, and erases nothing."""
    answer = await running.send("POST", f"{running.admin}/v1/audit/erase", body, token=running.token("root", "admin"))
    assert (answer.status, answer.body["detail"]) == (400, message)
    assert await running.events(type="audit.erased") == []


async def test_who_may_erase(running: Running) -> None:
    """It takes admin:security:write."""
    url = f"{running.admin}/v1/audit/erase"
    tokens = (None, running.token("r", "admin_readonly"), running.token("u", "user_basic"))
    assert [(await running.send("POST", url, {"subject": ALICE}, token=token)).status for token in tokens] == [
        401, 403, 403,
    ]  # fmt: skip
    assert await running.events(type="audit.erased") == []


async def test_reported_events_are_erased_from_too(start: Start) -> None:
    """What callers report of her is found by her clear id, and after an erasure by nobody."""
    running = await start(**{"audit.privacy": "salts"})
    reported = [{"id": f"e-{number}", "type": "user.profile_accessed", "subject": ALICE} for number in range(3)]
    answer = await running.send("POST", f"{running.decision}/v1/events", reported)
    assert answer.status == 200, answer.body
    assert len(await running.events(subject=ALICE)) == 3
    assert (await erase(running, ALICE))["unlinked"] == 3
    assert await running.events(subject=ALICE) == []


async def test_an_address_is_found_as_its_network(start: Start) -> None:
    """A search for an address finds records that hold its network alone."""
    running = await start(**{"audit.fields": {"ip": "coarsen"}})
    for address in ("203.0.113.7", "203.0.114.7"):
        headers = {"X-Original-Method": "GET", "X-Original-URI": "/memory", "X-Authz-Client-IP": address}
        await running.send("GET", f"{running.decision}/check/nginx", headers=headers)
    assert [event["ip"] for event in await running.events(ip="203.0.113.200")] == ["203.0.113.0/24"]
