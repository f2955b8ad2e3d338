"""The alarms on a real ledger: raised once, over restarts and crashes, and owed until they are recorded."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from authz.audit import LedgerWriter
from authz.audit.alarms import RULE_NAMES, AlarmConsumer, try_alarms
from authz.audit.alarms.consumer import LEARNING_SECONDS
from authz.audit.trail import Trail
from authz.config import AlarmSettings
from authz.core import Event
from tests.audit.alarms import scenarios
from tests.audit.alarms.scenarios import SCENARIOS, START
from tests.audit.ledger import STREAM, StoppedClock

_LEDGERS_OWN = ("prev", "seq", "id", "ts", "type")
_NOW = START + 500


async def record(state: Path, records: Iterable[dict[str, Any]], stream: str = STREAM) -> None:
    """One life of a writer, at the times that the records say."""
    clock = StoppedClock(START - 1)
    writer = LedgerWriter(state / "audit", stream, clock=clock)
    await writer.open()
    for fields in records:
        clock.time = scenarios.seconds(fields)
        body = {name: value for name, value in fields.items() if name not in _LEDGERS_OWN}
        await writer.record(Event(fields["id"], fields["type"], body))
    await writer.close()


def follow(state: Path, *, crash: bool = False, now: float = _NOW) -> AlarmConsumer:
    """One life of the alarms: everything that is there is looked at. A crash lets go of nothing."""
    consumer = AlarmConsumer(state, AlarmSettings(), StoppedClock(now))
    if crash:
        consumer.close = lambda: None  # type: ignore[method-assign]
    Trail(state / "audit", [consumer], StoppedClock(now)).catch_up()
    return consumer


def owed(consumer: AlarmConsumer) -> list[str]:
    """The rules whose alarms are to be recorded."""
    return [event.body["rule"] for event in consumer.owed()]  # type: ignore[index]


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("name", RULE_NAMES)
async def test_an_alarm_is_raised_once_over_restarts(tmp_path: Path, name: str, crash: bool) -> None:
    """After an orderly end or a crash it is owed still, with the same ID, and not raised again."""
    await record(tmp_path, SCENARIOS[name]())

    lives = [follow(tmp_path, crash=crash) for _ in range(3)]

    assert [owed(each) for each in lives] == [[name]] * 3
    assert [each.raised[name] for each in lives] == [1, 0, 0]
    assert {event.id for each in lives for event in each.owed()} == {lives[0].owed()[0].id}


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("name", [each for each in RULE_NAMES if len(SCENARIOS[each]()) > 1])
async def test_what_was_counted_is_not_forgotten_in_a_restart(tmp_path: Path, name: str, crash: bool) -> None:
    """Half of the scenario before it and half after it raise the alarm."""
    records = SCENARIOS[name]()
    await record(tmp_path, records[: len(records) // 2])
    before = follow(tmp_path, crash=crash)
    await record(tmp_path, records[len(records) // 2 :])

    assert (owed(before), owed(follow(tmp_path))) == ([], [name])


async def test_first_uses_are_remembered_for_good(tmp_path: Path) -> None:
    """A day and some restarts later the same admin scope is nothing new; another one is."""
    await record(tmp_path, scenarios.first_admin_scope())
    first = follow(tmp_path)
    first_ids = [event.id for event in first.owed()]
    again = scenarios.decision(86_400, scopes=["admin:users:write"])
    await record(tmp_path, [again, scenarios.decision(86_401, scopes=["admin:read"])])

    second = follow(tmp_path, now=START + 90_000)

    assert [event.body["scopes"] for event in second.owed() if event.id not in first_ids] == [  # type: ignore[index]
        ["admin:read"]
    ]


async def test_what_is_recorded_is_not_owed_any_more(tmp_path: Path) -> None:
    """Once paid it is gone, over restarts too."""
    await record(tmp_path, scenarios.many_denials())
    consumer = follow(tmp_path)

    consumer.open()
    consumer.paid([event.id for event in consumer.owed()])
    consumer.close()

    assert owed(consumer) == []
    assert owed(follow(tmp_path)) == []


async def test_an_alarm_that_was_recorded_before_a_crash_is_not_recorded_twice(tmp_path: Path) -> None:
    """Where the crash came between the record and the note of it, the record is found."""
    await record(tmp_path, scenarios.many_denials())
    [event] = follow(tmp_path, crash=True).owed()
    own = LedgerWriter(tmp_path / "audit", "auditor", clock=StoppedClock(_NOW))
    await own.open()
    await own.record(event)
    await own.close()

    assert owed(follow(tmp_path)) == []


async def test_an_old_ledger_teaches_and_raises_nothing(tmp_path: Path) -> None:
    """Where alarms are new to a ledger, what is older than some minutes is learned in silence."""
    late = LEARNING_SECONDS + 500
    everything = [each for scenario in SCENARIOS.values() for each in scenario()]
    await record(tmp_path, sorted(everything, key=scenarios.seconds))
    quiet = follow(tmp_path, now=START + late)
    await record(tmp_path, [scenarios.decision(late, scopes=["admin:users:write"]), *scenarios.many_denials()[:1]])

    assert (owed(quiet), owed(follow(tmp_path, now=START + late))) == ([], [])


async def test_rules_can_be_tried_on_recorded_history(tmp_path: Path) -> None:
    """The trial raises what the running rules do; other settings raise other things; nothing is recorded."""
    later = [{**each, "ts": scenarios.written(scenarios.seconds(each) + 2000)} for each in scenarios.many_denials(10)]
    await record(tmp_path, [*scenarios.scope_probing(), *later])
    since = scenarios.written(START - 10)

    as_is = try_alarms(tmp_path, AlarmSettings(), since)
    strict = try_alarms(tmp_path, scenarios.configured(many_denials__threshold=10), since)
    recent = try_alarms(tmp_path, AlarmSettings(), scenarios.written(START + 1900))

    assert [each.rule for each in as_is.alarms] == ["scope_probing"]
    assert [each.rule for each in strict.alarms] == ["scope_probing", "many_denials"]
    assert (as_is.decisions, as_is.by_rule["scope_probing"]) == (16, 1)
    assert (recent.decisions, recent.alarms) == (10, ())
    assert owed(follow(tmp_path)) == ["scope_probing"]
    assert all(one["ts"] < two["ts"] for one, two in pairwise(later))
