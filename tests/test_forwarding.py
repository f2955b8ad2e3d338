"""Events from a log to a sidecar: in batches, until they are answered for, and what is refused is said."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from authz import forwarding
from authz.core import MOST_REPORTED, ConfigurationError
from authz.forwarding import Forwarded, NotForwardedError, forward


class Sidecar(HTTPServer):
    """Answers calls with what `answers` holds, then with a report that everything was recorded."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.calls: list[list[Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Sidecar

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append(events)
        items = [{"id": each["id"], "outcome": "recorded"} for each in events if isinstance(each, dict)]
        report = {"recorded": len(items), "duplicate": 0, "refused": 0, "events": items}
        status, body = self.server.answers.pop(0) if self.server.answers else (200, json.dumps(report).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def sidecar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sidecar]:
    """It listens; nobody waits long."""
    monkeypatch.setattr(forwarding, "_LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(forwarding, "_FIRST_PAUSE_SECONDS", 0.0)
    server = Sidecar()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def lines(count: int, **more: Any) -> list[bytes]:
    """So many events, a line each."""
    return [json.dumps({"id": str(at), "type": "auth.login", **more}).encode() + b"\n" for at in range(count)]


def test_every_line_is_sent_in_order_and_in_bounds(sidecar: Sidecar) -> None:
    """At most 256 events and 60,000 bytes in a call; empty lines are nothing."""
    told = forward([*lines(600), b"\n", *lines(40, note="x" * 4000)], sidecar.url, None, print)

    assert told == Forwarded(recorded=640)
    assert [each["id"] for call in sidecar.calls for each in call] == [*map(str, range(600)), *map(str, range(40))]
    assert max(map(len, sidecar.calls)) <= MOST_REPORTED
    assert max(len(json.dumps(call)) for call in sidecar.calls) < 64_000


def test_it_is_sent_again_until_it_is_answered_for(sidecar: Sidecar) -> None:
    """A sidecar that cannot record, or is in trouble, gets the same call again."""
    sidecar.answers = [(503, b"{}"), (500, b""), (429, b"")]
    said: list[str] = []

    assert forward(lines(2), sidecar.url, None, said.append) == Forwarded(recorded=2)
    assert sidecar.calls == [sidecar.calls[0]] * 4
    assert said == [f"waiting for {sidecar.url}: HTTP {code}" for code in (503, 500, 429)]


def test_what_is_refused_is_said(sidecar: Sidecar) -> None:
    """By its ID, code and message; a line that is no JSON is refused in its place, and its bytes go nowhere."""
    error = {"code": "field_missing", "field": "subject", "message": "subject: auth.login requires it"}
    report = {
        "recorded": 0,
        "duplicate": 1,
        "refused": 1,
        "events": [{"id": "7", "outcome": "refused", "error": error}],
    }
    sidecar.answers = [(400, json.dumps(report).encode())]
    said: list[str] = []

    told = forward([b"{broken \xff\n", b'{"id": "a\xffb"}\n'], sidecar.url, None, said.append)

    assert (told, said) == (
        Forwarded(duplicate=1, refused=1),
        ["refused: 7: field_missing: subject: auth.login requires it"],
    )
    assert sidecar.calls == [["not JSON", {"id": "a\N{REPLACEMENT CHARACTER}b"}]]


@pytest.mark.parametrize(
    "answer", [(401, b'{"reason": "caller_unauthenticated"}'), (403, b""), (400, b"{}"), (200, b"x")]
)
def test_a_caller_that_may_not_report_is_told(sidecar: Sidecar, answer: tuple[int, bytes]) -> None:
    """What another try does not change ends it."""
    sidecar.answers = [answer]

    with pytest.raises(NotForwardedError):
        forward(lines(1), sidecar.url, None, print)


def test_a_url_that_is_none_is_refused() -> None:
    """Before anything is read."""
    with pytest.raises(ConfigurationError):
        forward([], "localhost:8080", None, print)
