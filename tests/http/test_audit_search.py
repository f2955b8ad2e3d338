"""Searching the ledger over the admin listener: pages that hold together, and events as they come."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from authz.audit.index.schema import index_path
from tests.audit.indexing import index

from .conftest import Running, Start


def auditor(running: Running) -> str:
    return running.token("root", "admin_readonly")


async def some_decisions(running: Running, count: int = 12) -> None:
    """Of alice, on memories 0, 1, 2 ..."""
    token = running.token("alice", "user_basic")
    for number in range(count):
        await running.check("GET", f"/memory/{number}", token=token)


async def search(running: Running, **asked: Any) -> Any:
    answer = await running.send("POST", f"{running.admin}/v1/audit/search", asked, token=auditor(running))
    assert answer.status == 200, answer.body
    return answer.body


async def test_pages_follow_each_other_whatever_comes_between(running: Running) -> None:
    """By the cursor of the page before, with the index and what it has not come to yet."""
    await some_decisions(running)
    await asyncio.to_thread(index, running.state)
    url, seen, query = f"{running.admin}/v1/audit/events?route=/memory/{{id}}&limit=5", [], ""
    while True:
        answer = await running.send("GET", url + query, token=auditor(running))
        seen += [event["id"] for event in answer.body["events"]]
        await some_decisions(running, 2)
        if answer.body["cursor"] is None:
            break
        query = f"&cursor={answer.body['cursor']}"
    expected = [event["id"] for event in await running.events(route="/memory/{id}", limit=1000)]
    assert (len(seen), answer.body["index"]["state"]) == (12, "used")
    assert seen == expected[-12:]


async def test_a_clear_user_id_is_asked_for_in_a_body_and_never_in_a_url(running: Running) -> None:
    """The body finds her under her pseudonym; the query is refused and says how; both are recorded without her."""
    await some_decisions(running, 3)
    found = await search(running, subject="alice", limit=2, **{"param.id": "2"})
    refused = await running.send("GET", f"{running.admin}/v1/audit/events?subject=alice", token=auditor(running))

    assert [event["route"] for event in found["events"]] == ["/memory/{id}"]
    assert (refused.status, "POST /v1/audit/search" in refused.body["detail"]) == (400, True)
    assert len(await running.events(type="admin.access")) == 2
    assert "alice" not in running.on_disk()


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"colour": "blue"}, "colour: is not a filter"),
        ({"limit": 0}, "limit: must be a whole number from 1 to 1000"),
        ({"limit": "1e3"}, "limit: must be a whole number from 1 to 1000"),
        ({"from_segments": "perhaps"}, "from_segments: must be true or false"),
        ({"cursor": "c1.x"}, "cursor: it is not one that this service gave"),
        ({"path": "/etc"}, "path: is not a filter here"),
        ({"since": "yesterday"}, "since: 'yesterday' is no time"),
        ({"reason": ["a"]}, "body: must be one object of filters"),
        ([], "body: must be one object of filters"),
    ],
    ids=str,
)
async def test_a_question_put_wrongly_names_what_is_wrong(running: Running, body: Any, detail: str) -> None:
    """As 400."""
    answer = await running.send("POST", f"{running.admin}/v1/audit/search", body, token=auditor(running))
    assert (answer.status, detail in answer.body["detail"]) == (400, True), answer.body


@pytest.mark.parametrize(("method", "path"), [("POST", "search"), ("GET", "tail")])
async def test_the_policy_guards_search_and_tail(running: Running, method: str, path: str) -> None:
    """Each try is one record."""
    body: Any = {} if method == "POST" else None
    for token, status in ((None, 401), (running.token("alice", "user_premium"), 403)):
        answer = await running.send(method, f"{running.admin}/v1/audit/{path}", body, token=token)
        assert answer.status == status
    events = await running.events(type="admin.access")
    assert [(event["decision"], event["scopes"]) for event in events] == [("deny", ["admin:audit:read"])] * 2


async def test_a_doctored_row_is_counted_and_said(running: Running) -> None:
    """It is no event of the page; the segments give all of them."""
    await some_decisions(running, 3)
    await asyncio.to_thread(index, running.state)
    with sqlite3.connect(index_path(running.state)) as database:
        database.execute("UPDATE events SET ip = 1 WHERE seq = (SELECT max(seq) FROM events)")
    database.close()
    before = running.counted("authz_audit_index_refused_total")

    page = await search(running, route="/memory/{id}")
    plain = await search(running, route="/memory/{id}", from_segments=True)

    assert (len(page["events"]), len(plain["events"])) == (2, 3)
    assert ["another ip" in refused for refused in page["index"]["refused"]] == [True]
    assert plain["index"]["state"] == "none"
    assert running.counted("authz_audit_index_refused_total") == before + 1


@asynccontextmanager
async def tailing(running: Running, query: str = "") -> AsyncIterator[aiohttp.StreamReader]:
    """An open tail, after its first beat."""
    headers = {"Authorization": f"Bearer {auditor(running)}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{running.admin}/v1/audit/tail{query}") as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        yield answer.content


async def next_events(content: aiohttp.StreamReader, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            line = await content.readline()
            found += [msgspec.json.decode(line)] if line.strip() else []
    return found


async def test_a_tail_gives_what_comes_and_is_one_record(running: Running) -> None:
    """Only what passes the filters, once it is durable, in order, as it is in the ledger."""
    await some_decisions(running, 2)
    async with tailing(running, "?route=/memory/{id}") as content:
        assert await content.readline() == b"\n"
        await some_decisions(running, 5)
        found = await next_events(content, 5)
    expected = await running.events(route="/memory/{id}", limit=5)
    assert found == expected[::-1]
    assert len(await running.events(type="admin.access")) == 1


async def test_a_tail_can_begin_with_what_was_before(running: Running) -> None:
    """The last ones, oldest first, and then what comes, with nothing missing in between."""
    await some_decisions(running, 4)
    async with tailing(running, "?route=/memory/{id}&last=3") as content:
        first = await next_events(content, 3)
        await some_decisions(running, 2)
        found = first + await next_events(content, 2)
    expected = await running.events(route="/memory/{id}", limit=5)
    assert found == expected[::-1]


async def test_a_tail_ends_with_the_service(start: Start) -> None:
    """At once, and properly; it does not hold up the end."""
    running = await start()
    async with tailing(running) as content:
        await content.readline()
        async with asyncio.timeout(5):
            await asyncio.gather(running.listeners.close(), content.read())
        assert content.at_eof()


async def test_tails_are_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told so; when another one ends there is room again."""
    monkeypatch.setattr("authz.http.audit_search._TAILS", 1)
    url = f"{running.admin}/v1/audit/tail"
    async with tailing(running) as content:
        await content.readline()
        answer = await running.send("GET", url, token=auditor(running))
        assert (answer.status, answer.body["reason"]) == (503, "overloaded")
    async with asyncio.timeout(20):
        while (await status(running, url)) != 200:
            await asyncio.sleep(0.05)


async def status(running: Running, url: str) -> int:
    """What a request is answered, without waiting for the end of it."""
    headers = {"Authorization": f"Bearer {auditor(running)}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        return answer.status
