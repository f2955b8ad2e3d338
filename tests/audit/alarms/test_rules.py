"""Each rule on its scenario and on those of the others, at its threshold, its window and its exceptions."""

from typing import Any

import pytest

from authz.audit.alarms import RULE_NAMES, Watch
from authz.config import AlarmSettings
from tests.audit.alarms import scenarios
from tests.audit.alarms.scenarios import SCENARIOS, START, admin_access, configured, decision, denial


def raised(*records: dict[str, Any], settings: AlarmSettings | None = None, since: float = 0.0) -> list[str]:
    """The rules that raised something, in order."""
    watch = Watch(settings or AlarmSettings(), since)
    return [each.rule for record in records for each in watch.see(record)]


def test_there_is_a_scenario_for_each_rule() -> None:
    """No rule goes untested."""
    assert tuple(SCENARIOS) == RULE_NAMES


@pytest.mark.parametrize("name", RULE_NAMES)
def test_each_rule_is_raised_by_its_scenario_alone(name: str) -> None:
    """Once on its own scenario, among all that is usual, and no other rule with it."""
    usual = list(scenarios.others())
    records = sorted([*usual, *SCENARIOS[name]()], key=lambda fields: fields["ts"])

    assert (raised(*usual), raised(*records)) == ([], [name])


@pytest.mark.parametrize("name", RULE_NAMES)
def test_nobody_is_suspected_who_only_observes(name: str) -> None:
    """What nobody enforces is not counted: everything passed, whatever was decided."""
    assert raised(*({**record, "enforced": False} for record in SCENARIOS[name]())) == []


@pytest.mark.parametrize("name", RULE_NAMES)
def test_what_is_reported_is_not_believed(name: str) -> None:
    """A record that came from a caller raises nothing, whatever it says."""
    assert raised(*({**record, "source": "gate"} for record in SCENARIOS[name]())) == []


@pytest.mark.parametrize("name", RULE_NAMES)
def test_a_rule_can_be_turned_off(name: str) -> None:
    """With a threshold of 0 it is not there."""
    assert raised(*SCENARIOS[name](), settings=configured(**{f"{name}__threshold": 0})) == []


@pytest.mark.parametrize("name", RULE_NAMES)
@pytest.mark.parametrize(
    ("exception", "passes"), [("subject:h1:k:alice", True), ("caller:gate", True), ("role:x", False)]
)
def test_an_exception_is_passed_over(name: str, exception: str, passes: bool) -> None:
    """Decisions that match an exception of the rule do not count for it."""
    settings = configured(**{f"{name}__exceptions": [exception]})

    assert raised(*SCENARIOS[name](), settings=settings) == ([] if passes else [name])


@pytest.mark.parametrize(
    ("exception", "member"),
    [
        ("role:support", {"roles": ["support"]}),
        ("scope:memory:write", {"missing": ["memory:write"]}),
        ("ip:10.0.0.1", {"ip": "10.0.0.1"}),
        ("route:/memory", {"route": "/memory"}),
    ],
)
def test_exceptions_by_every_member(exception: str, member: dict[str, Any]) -> None:
    """Role, scope, address and route can be excepted too."""
    records = [denial(at, **member) for at in range(20)]

    assert raised(*records) == ["many_denials"]
    assert raised(*records, settings=configured(many_denials__exceptions=[exception])) == []


@pytest.mark.parametrize(
    ("name", "scenario", "enough"),
    [
        ("many_denials", scenarios.many_denials, 20),
        ("scope_probing", scenarios.scope_probing, 6),
        ("token_addresses", scenarios.token_addresses, 4),
    ],
)
def test_the_threshold_is_reached_exactly(name: str, scenario: Any, enough: int) -> None:
    """One less raises nothing; a threshold that is set is the one that counts."""
    assert [raised(*scenario(size)) for size in (enough - 1, enough)] == [[], [name]]
    settings = configured(**{f"{name}__threshold": 3})
    assert [raised(*scenario(size), settings=settings) for size in (2, 3)] == [[], [name]]


@pytest.mark.parametrize(
    ("name", "spaced"),
    [
        ("many_denials", [denial(4.0 * at) for at in range(40)]),
        ("scope_probing", [denial(70.0 * at, f"photos:{at}") for at in range(12)]),
        ("token_addresses", [decision(110.0 * at, ip=f"192.0.2.{at}") for at in range(12)]),
    ],
)
def test_what_is_spread_over_more_than_the_window_is_not_counted_together(name: str, spaced: Any) -> None:
    """The same as in the scenario, but slowly, raises nothing; with a longer window it does."""
    assert raised(*spaced) == []
    assert set(raised(*spaced, settings=configured(**{f"{name}__window_seconds": 900}))) == {name}


def test_subjects_are_not_counted_together() -> None:
    """A denial each of many subjects, a scope each, an address each: nothing."""
    subjects = [f"h1:k:{number}" for number in range(100)]
    denials = [denial(0.1 * at, f"s:{at}", subject=each, token_id=each) for at, each in enumerate(subjects)]

    assert raised(*denials) == []


def test_what_is_no_denial_of_permission_is_not_counted() -> None:
    """Bad tokens, rates and failures of our own are told of by other metrics."""
    reasons = ("token_expired", "rate_limited", "policy_error", "audit_unavailable")
    records = [
        decision(at, type="auth.error", decision="deny", reason=reason) for at in range(30) for reason in reasons
    ]

    assert raised(*records) == []


def test_one_household_is_one_address() -> None:
    """Addresses of one IPv6 network are one place, and an IPv4 address is the same in IPv6's notation."""
    same = [decision(at, ip=f"2001:db8:1:2::{at:x}") for at in range(1, 20)]
    mapped = [decision(at, ip=each) for at, each in enumerate(("192.0.2.1", "::ffff:192.0.2.1") * 4)]
    apart = [decision(at, ip=f"2001:db8:1:{at:x}::1") for at in range(1, 6)]

    assert [raised(*same), raised(*mapped), raised(*apart)] == [[], [], ["token_addresses"]]


def test_an_admin_scope_is_new_once_for_each_subject() -> None:
    """Each subject and each admin scope once; where it was denied it was not used."""
    records = [
        denial(1, "admin:write"),
        decision(2, scopes=["admin:read"]),
        decision(3, scopes=["admin:read"]),
        decision(2000, scopes=["admin:read", "admin:write"]),
        decision(2001, "h1:k:bob", scopes=["admin:read"]),
        decision(9000, scopes=["admin:write"]),
        decision(9001, scopes=["users:admin:read"]),
    ]

    assert raised(*records) == ["first_admin_scope"] * 3


def test_an_admin_is_new_once() -> None:
    """The second access is nothing new; a denied one, and one by break-glass, is not the first."""
    records = [
        admin_access(1, decision="deny", reason="scope_missing"),
        admin_access(2, subject=None, reason="break_glass"),
        admin_access(3),
        admin_access(4),
        admin_access(9000),
        admin_access(9001, subject="h1:k:bob"),
    ]

    assert raised(*records) == ["new_admin", "new_admin"]


def test_an_alarm_is_not_repeated_while_it_is_quiet() -> None:
    """The same subject raises it again only after `quiet_seconds`; another one at once."""
    going_on = [denial(at) for at in range(300)]
    settings = configured(quiet_seconds=100)

    assert raised(*going_on) == ["many_denials"]
    assert raised(*going_on, settings=settings) == ["many_denials"] * 3
    both = [denial(at, subject=each) for at in range(20) for each in ("h1:k:alice", "h1:k:bob")]
    assert raised(*both) == ["many_denials"] * 2


def test_what_is_long_past_only_teaches() -> None:
    """Before `since` nothing is raised, but first uses are learned."""
    records = [decision(1, scopes=["admin:read"]), *scenarios.many_denials(), decision(500, scopes=["admin:read"])]

    assert raised(*records, since=START + 400) == []
    assert raised(records[-1], since=START + 400) == ["first_admin_scope"]


def test_an_alarm_says_what_it_rests_on() -> None:
    """Rule, subject, count, threshold, window and the newest decisions; pseudonyms and IDs only."""
    watch = Watch(AlarmSettings())
    records = scenarios.token_addresses()
    [found] = [each for record in records for each in watch.see(record)]

    assert found.event.type == "security.suspicious_activity"
    assert found.body == {
        "rule": "token_addresses",
        "subject": "h1:k:alice",
        "token_id": "h1:k:token-of-h1:k:alice",
        "count": 4,
        "threshold": 4,
        "window_seconds": 300,
        "decisions": [record["id"] for record in records],
        "decided_at": records[-1]["ts"],
    }
    [new] = Watch(AlarmSettings()).see(admin_access(1, id="d"))
    assert (new.event.type, new.body["decisions"]) == ("admin.first_access", ["d"])


def test_what_a_rule_remembers_is_bounded() -> None:
    """Of more subjects than it may follow the quietest is forgotten, and counted; the busy one is still found."""
    settings = configured(remembered_subjects=100)
    watch = Watch(settings)
    rules: list[str] = []
    for at in range(20):
        rules += [each.rule for each in watch.see(denial(at))]
        for other in range(30):
            watch.see(denial(at, subject=f"h1:k:{at}-{other}", token_id=f"{at}-{other}"))
            watch.see(decision(at, f"h1:k:{at}-{other}", scopes=["admin:read"], token_id=f"{at}-{other}"))

    assert rules == ["many_denials"]
    assert [len(rule.memory) <= 100 for rule in watch.rules] == [True] * 5
    forgotten = {rule.name: rule.memory.forgotten > 0 for rule in watch.rules}
    assert forgotten == {**dict.fromkeys(RULE_NAMES, True), "new_admin": False}


@pytest.mark.parametrize(
    "change", [{"ts": 7}, {"ts": "yesterday"}, {"ts": ""}, {"scopes": [5]}, {"id": None}, {"missing": {}}]
)
def test_a_record_that_is_none_raises_nothing(change: dict[str, Any]) -> None:
    """Whatever stands in the ledger, the rules go on."""
    watch = Watch(AlarmSettings())
    watch.see({**denial(1), **change})

    assert [each.rule for record in scenarios.many_denials() for each in watch.see(record)] == ["many_denials"]
