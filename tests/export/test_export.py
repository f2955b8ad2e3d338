"""Export: every record once, in order, byte for byte, into a file that is whole or not there."""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from authz.audit import EVENT_TYPES, Recorded, get_audit_events, records
from authz.audit.durable import Mark, mark_text
from authz.audit.placed import placed
from authz.cli import program
from authz.core import DecisionBody, Event
from authz.export.formats import COLUMNS, FORMATS
from authz.export.remote import _recorded
from tests.audit.signed_ledger import append_all
from tests.properties import many


def decision(number: int, **fields: Any) -> Event:
    allowed = number % 3 != 0
    body: dict[str, Any] = {
        "decision": "allow" if allowed else "deny",
        "reason": "scope_granted" if allowed else "scope_missing",
        "subject": f"h1:k:person-{number % 5}",
        "roles": ("user_basic",),
        "scopes": ("memory:read", "memory:write"),
        "action": ("GET", "POST", "PUT", "DELETE", "use")[number % 5],
        "route": "/memory/{id}",
        "params": {"id": f"h1:k:{number}"},
        "host": "api.test",
        "revision": "r1",
        "engine": "embedded",
        "dialect": "envoy",
        "caller": "gateway",
        "ip": "203.0.113.7",
        "user_agent": "curl/8",
        "session_id": "h1:k:s",
        "request_id": f"q-{number}",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    kind = "auth.scope_granted" if allowed else "auth.scope_denied"
    return Event(f"id-{number}", kind, DecisionBody(**body | fields))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two streams, the first of them in two lives; AUTHZ_STATE names it."""
    state = tmp_path / "state"
    for life in range(2):
        append_all(state / "audit", "worker-0", [decision(life * 50 + number) for number in range(50)])
    append_all(state / "audit", "worker-1", [decision(number) for number in range(200, 210)])
    monkeypatch.setenv("AUTHZ_STATE", str(state))
    return state


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["audit", "export", *(str(argument) for argument in arguments)])


def written(state: Path) -> list[bytes]:
    """Every line of the ledger, stream after stream."""
    return [line for path in sorted((state / "audit").glob("*/*.jsonl")) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq":1,"type":"audit.damaged","stream":"worker-0"}',
        b'{"seq":1,"type":"api.request","context":{"about_stream":"h1:k:x"}}',
        b'{"seq":1,"type":"api.request","context":{"stream":"h1:k:x"}}',
    ],
)
def test_what_a_sidecar_answers_is_the_record_again(line: bytes) -> None:
    """A stream that a record speaks of has its own name again; what a caller chose to call so is left as it is."""
    answered = msgspec.json.encode(placed(msgspec.json.decode(line), "auditor"))
    assert _recorded(msgspec.Raw(answered)) == Recorded("auditor", line, json.loads(line))


def test_jsonl_is_the_records_themselves(state: Path, tmp_path: Path) -> None:
    """Byte for byte what lies in the segments, stream after stream, so that the chain can be checked in the file."""
    done = run("-o", tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines()
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'all.jsonl'}: {len(lines)} records\n")
    assert lines == written(state)
    assert json.loads(lines[1])["prev"] == sha256(lines[0]).hexdigest()
    assert (tmp_path / "all.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"decision": "deny"},
        {"subject": "h1:k:person-2", "method": "PUT"},
        {"type": "auth.scope_granted", "since": "2000-01-01"},
        {"until": "2000-01-01"},
        {"since": "2999-01-01"},
        {"params": {"id": "h1:k:42"}},
    ],
)
def test_filters_are_those_of_a_search(state: Path, filters: dict[str, Any]) -> None:
    """An export holds the very events that a search with the same filters finds."""
    exported = {(each.stream, each.seq) for each in records(state, **filters)}
    found = get_audit_events(10_000, path=state, **filters)
    assert exported == {(event["stream"], event["seq"]) for event in found}


def test_each_run_goes_on_where_the_last_one_ended(state: Path, tmp_path: Path) -> None:
    """In parts, with more recorded in between, every record is exported once and none is left out."""
    cursor, parts = tmp_path / "cursor", 0
    while True:
        output = tmp_path / f"part-{parts:03}.jsonl"
        done = json.loads(run("-o", output, "--cursor", cursor, "--limit", 17, "--json").stdout)
        parts += 1
        if parts == 4:
            append_all(state / "audit", "worker-0", [decision(number) for number in range(300, 330)])
        if not done["records"]:
            break
    lines = [line for path in sorted(tmp_path.glob("part-*")) for line in path.read_bytes().splitlines()]
    assert sorted(lines) == sorted(written(state))
    assert len(lines) == len(set(lines))


def test_what_is_cut_short_leaves_nothing(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No output, no half one and no cursor that runs ahead; the next run has it all."""
    damaged = sorted((state / "audit" / "worker-1").glob("*.jsonl"))[0]
    whole = damaged.read_bytes()
    damaged.chmod(0o600)
    damaged.write_bytes(whole.replace(b'"seq":5', b'"seq":"'))
    cut = run("-o", tmp_path / "all.jsonl", "--cursor", tmp_path / "cursor")
    assert (cut.exit_code, cut.stderr.startswith("damaged: worker-1/")) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]
    damaged.write_bytes(whole)
    assert run("-o", tmp_path / "all.jsonl", "--cursor", tmp_path / "cursor").exit_code == 0
    assert (tmp_path / "all.jsonl").read_bytes().splitlines() == written(state)


def test_only_what_is_durable_is_exported(state: Path) -> None:
    """What stands behind the durable mark may yet be lost, and its number be given to another record."""
    (state / "audit" / "worker-1" / "durable").write_bytes(mark_text(Mark(1, 1_000, 4)))
    assert [each.seq for each in records(state) if each.stream == "worker-1"] == [1, 2, 3, 4]


def test_nothing_is_written_over(state: Path, tmp_path: Path) -> None:
    """An output that is there, a cursor that is none, and a format that cannot be had are usage errors."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "cursor").write_text("{}x")
    answers = [
        run("-o", tmp_path / "there"),
        run("-o", tmp_path / "new", "--cursor", tmp_path / "cursor"),
        run("-o", tmp_path / "new", "--format", "parquet"),
        run("-o", tmp_path / "new", "--subject", "alice"),
    ]
    assert [answer.exit_code for answer in answers] == [2, 2, 2, 2]
    assert (tmp_path / "there").read_text() == "mine"
    assert "duckdb" in answers[2].stderr
    assert not (tmp_path / "new").exists()
    assert run("--state", tmp_path / "nowhere", "-o", tmp_path / "new").exit_code == 3


def test_csv_has_a_row_for_each_record(state: Path, tmp_path: Path) -> None:
    """The columns are named once, and every record has its stream, number and fields."""
    run("-o", tmp_path / "all.csv", "--format", "csv", "--decision", "deny")
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = sorted(get_audit_events(1000, path=state, decision="deny"), key=lambda each: (each["stream"], each["seq"]))
    assert [(row["stream"], int(row["seq"]), row["id"]) for row in rows] == [
        (event["stream"], event["seq"], event["id"]) for event in found
    ]
    assert rows[0] | {"ts": "", "id": "", "seq": "", "action": "", "request_id": "", "params": "", "subject": ""} == {
        **dict.fromkeys(COLUMNS, ""),
        "source": "here", "stream": "worker-0", "type": "auth.scope_denied", "decision": "deny",
        "reason": "scope_missing", "route": "/memory/{id}", "host": "api.test", "ip": "203.0.113.7",
        "user_agent": "curl/8", "session_id": "h1:k:s", "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "caller": "gateway", "dialect": "envoy", "channel": "http", "revision": "r1", "engine": "embedded",
        "roles": "user_basic", "scopes": "memory:read memory:write",
    } | {"channel": rows[0]["channel"]}  # fmt: skip


@many
@given(st.text(min_size=1), st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", ""]))
def test_no_cell_is_a_formula(text: str, beginning: str) -> None:
    """Whatever a client sent, no cell begins as a formula does, and every row has all its cells."""
    value = beginning + text
    event = {
        "ts": "2026-11-23T08:00:00.000000Z",
        "seq": 1,
        "id": "i",
        "type": "t",
        "user_agent": value,
        "roles": [value],
    }
    row = FORMATS["csv"].line("here", Recorded("main", b"{}", event)).decode()
    [cells] = csv.reader(io.StringIO(row, newline=""))
    assert len(cells) == len(COLUMNS)
    agent = cells[COLUMNS.index("user_agent")]
    expected = value.encode(errors="replace").decode()
    assert agent in {expected, f"'{expected}"}
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))] == []


Check = Callable[[Any], bool]

_REQUIRED: dict[str, Check] = {
    "activity_id": lambda each: each in {1, 2, 3, 4, 99},
    "category_uid": lambda each: each == 6,
    "class_uid": lambda each: each == 6003,
    "severity_id": lambda each: each in {0, 1, 2, 3, 4, 5, 6, 99},
    "time": lambda each: isinstance(each, int) and each > 1_600_000_000_000,
    "type_uid": lambda each: each in {600_301, 600_302, 600_303, 600_304, 600_399},
    "actor": lambda each: bool({"process", "user", "invoked_by", "session", "app_name", "app_uid"} & set(each)),
    "api": lambda each: bool(each["operation"]),
    "src_endpoint": lambda each: bool({"ip", "uid", "name", "hostname", "svc_name"} & set(each)),
    "metadata": lambda each: bool(each["version"] == "1.6.0" and each["product"]["name"]),
}
"""What the schema requires of API Activity and its objects (ocsf-schema 1.6.0: events/application/api_activity.json,
events/base_event.json, objects/actor.json, api.json, network_endpoint.json, metadata.json), attribute by attribute."""


def test_ocsf_events_have_what_the_schema_requires(state: Path, tmp_path: Path) -> None:
    """Each record, decision or not, is an API Activity with every required attribute, and with itself in raw_data."""
    run("-o", tmp_path / "all.ocsf", "--format", "ocsf")
    events = [json.loads(line) for line in (tmp_path / "all.ocsf").read_bytes().splitlines()]
    assert [event["raw_data"].encode() for event in events] == written(state)
    for event in events:
        assert {name for name, check in _REQUIRED.items() if name not in event or not check(event[name])} == set()
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        raw = event["raw_data"].encode()
        assert event["raw_data_hash"] == {
            "algorithm_id": 3,
            "algorithm": "SHA-256",
            "value": sha256(raw).hexdigest(),
        }
        assert event["raw_data_size"] == len(raw)


def test_a_denial_in_ocsf() -> None:
    """One decision, attribute by attribute."""
    event = decision(3, operation="memory.modified", ip="203.0.113.0/24")
    assert isinstance(event.body, DecisionBody)
    ts = "2026-11-23T08:00:00.250000Z"
    fields = {"ts": ts, "seq": 7, "id": "id-3", "type": event.type}
    fields |= {name: getattr(event.body, name) for name in event.body.__struct_fields__}
    made = json.loads(FORMATS["ocsf"].line("https://node7", Recorded("worker-0", b"{}", fields)))
    assert made == {
        "activity_id": 4,
        "activity_name": "Delete",
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": 6003,
        "class_name": "API Activity",
        "type_uid": 600304,
        "type_name": "API Activity: Delete",
        "severity_id": 3,
        "severity": "Medium",
        "time": int(datetime.fromisoformat(ts).timestamp() * 1000),
        "actor": {
            "app_name": "gateway",
            "user": {"uid": "h1:k:person-3", "type": "Unknown"},
            "session": {"uid": "h1:k:s"},
            "authorizations": [{"decision": "deny", "policy": {"uid": "r1", "name": "scope_missing"}}],
        },
        "api": {"operation": "memory.modified", "service": {"name": "authz"}},
        "src_endpoint": {"svc_name": "gateway"},
        "metadata": {
            "version": "1.6.0",
            "product": {"name": "authz-sidecar", "vendor_name": "authz", "version": "0.1.0"},
            "uid": "id-3",
            "event_code": "auth.scope_denied",
            "original_time": ts,
            "log_name": "worker-0",
            "log_provider": "https://node7",
            "sequence": 7,
            "correlation_uid": "0af7651916cd43dd8448eb211c80319c",
        },
        "raw_data": "{}",
        "raw_data_hash": {"algorithm_id": 3, "algorithm": "SHA-256", "value": sha256(b"{}").hexdigest()},
        "raw_data_size": 2,
        "status_id": 2,
        "status": "Failure",
        "status_code": "scope_missing",
        "status_detail": "scope_missing",
        "http_request": {
            "http_method": "DELETE",
            "uid": "q-3",
            "user_agent": "curl/8",
            "url": {"path": "/memory/{id}", "hostname": "api.test"},
        },
    }


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_type_has_a_severity_in_ocsf(kind: str) -> None:
    """The catalogue's severity is OCSF's, and the type itself is kept as event_code."""
    event = {"ts": "2026-11-23T08:00:00.000000Z", "seq": 1, "id": "i", "type": kind}
    made = json.loads(FORMATS["ocsf"].line("here", Recorded("main", b"{}", event)))
    assert made["metadata"]["event_code"] == kind
    assert (made["severity_id"], made["activity_name"]) == (
        {"info": 1, "warning": 3, "error": 4, "critical": 5}[EVENT_TYPES[kind].severity],
        kind,
    )
