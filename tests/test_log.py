"""Logs are JSON lines without secrets, and nobody ever waits for whoever reads them."""

import asyncio
import contextlib
import json
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from authz import log
from authz.core import BearerToken, ConfigurationError
from authz.redaction import MAX_TEXT_CHARACTERS, REDACTED, redacted

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


class Pipe:
    """A pipe to log into; `fileno` is its writing end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def fileno(self) -> int:
        """The end that is written to."""
        return self.writing

    def lines(self) -> list[dict[str, Any]]:
        """Everything in the pipe so far, decoded."""
        os.set_blocking(self.reading, False)
        text = b""
        try:
            while piece := os.read(self.reading, 1 << 20):
                text += piece
        except BlockingIOError:
            pass
        return [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]

    def fill(self) -> None:
        """Leave no room in the pipe."""
        os.set_blocking(self.writing, False)
        try:
            while os.write(self.writing, bytes(65_536)):
                pass
        except BlockingIOError:
            os.set_blocking(self.writing, True)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, closed in the end."""
    made = Pipe()
    yield made
    for descriptor in (made.reading, made.writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def logged(pipe: Pipe) -> list[dict[str, Any]]:
    """All lines so far, without their times, which are checked to be times."""
    assert log.flush(10)
    lines = pipe.lines()
    for line in lines:
        assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    return lines


def test_a_line_is_a_json_object(pipe: Pipe) -> None:
    """Time, level, logger and event come first; then what was bound, then the fields as they are."""
    log.configure("info", pipe)
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger("authz.test").bind(route="/memory/{id}").warning("denied", status=403, seconds=0.5, ok=None)
    log.flush()
    (line,) = pipe.lines()
    assert list(line) == [
        "timestamp",
        "level",
        "logger",
        "event",
        "route",
        "status",
        "seconds",
        "ok",
        "request_id",
    ]
    del line["timestamp"]
    assert line == {
        "level": "warning",
        "logger": "authz.test",
        "event": "denied",
        "route": "/memory/{id}",
        "status": 403,
        "seconds": 0.5,
        "ok": None,
        "request_id": "r-1",
    }


async def test_the_request_id_is_that_of_the_request(pipe: Pipe) -> None:
    """What one task binds is on its own lines only, however the tasks interleave."""
    log.configure("info", pipe)
    logger = structlog.get_logger()

    async def request(name: str) -> None:
        with structlog.contextvars.bound_contextvars(request_id=name):
            for step in range(3):
                await asyncio.sleep(0)
                logger.info("step", step=step)

    await asyncio.gather(*(request(f"r-{n}") for n in range(3)))
    logger.info("after")
    lines = logged(pipe)
    expected = [
        {"level": "info", "event": "step", "step": s, "request_id": f"r-{n}"} for n in range(3) for s in range(3)
    ]
    expected.append({"level": "info", "event": "after"})
    assert sorted(map(str, expected)) == sorted(map(str, lines))


def test_the_standard_library_logs_the_same_way(pipe: Pipe) -> None:
    """What aiohttp, asyncio and warnings say comes out as the same JSON, redacted, and survives a bad format."""
    log.configure("info", pipe)
    structlog.contextvars.bind_contextvars(request_id="r-1")
    logging.getLogger("aiohttp.server").warning("sent %s", f"Bearer {JWT}")
    log._standard_handler.handle(logging.makeLogRecord({"msg": "%d things", "args": ("none",), "levelname": "ERROR"}))
    logging.getLogger("asyncio").debug("not this")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)
    *lines, warned = logged(pipe)
    assert lines == [
        {
            "level": "warning",
            "logger": "aiohttp.server",
            "event": f"sent Bearer {REDACTED}",
            "request_id": "r-1",
        },
        {"level": "error", "event": "%d things", "request_id": "r-1"},
    ]
    assert (warned["logger"], "UserWarning: careful" in warned["event"]) == ("py.warnings", True)


def test_exceptions_are_data_without_local_variables(pipe: Pipe) -> None:
    """An exception is its types, messages and frames, causes too; no local variable, no secret in a message."""
    log.configure("info", pipe)
    hidden = "local-variable"

    def fail() -> None:
        local = hidden
        try:
            int(local[:0])
        except ValueError as error:
            raise KeyError(f"second with {JWT}") from error

    try:
        fail()
    except KeyError:
        structlog.get_logger().exception("failed")
        logging.getLogger("asyncio").exception("failed too")
    lines = logged(pipe)
    assert [
        [(e["exc_type"], e["exc_value"], [f["name"] for f in e["frames"]]) for e in line["exception"]] for line in lines
    ] == [
        [
            (
                "KeyError",
                f"'second with {REDACTED}'",
                [test_exceptions_are_data_without_local_variables.__name__, "fail"],
            ),
            ("ValueError", "invalid literal for int() with base 10: ''", ["fail"]),
        ]
    ] * 2
    assert "local-variable" not in json.dumps(lines)
    assert {frozenset(frame) for line in lines for e in line["exception"] for frame in e["frames"]} == {
        frozenset({"filename", "lineno", "name"})
    }


def test_the_level_changes_at_run_time(pipe: Pipe) -> None:
    """A new level holds at once, for loggers made before as for the standard library's."""
    log.configure("warning", pipe)
    early = structlog.get_logger().bind()
    standard = logging.getLogger("aiohttp.client")
    for level in ("warning", "debug", "error"):
        log.set_level(level)
        for logger in (early, standard):
            logger.debug("debug at %s", level)
            logger.warning("warning at %s", level)
            logger.error("error at %s", level)
    assert [line["event"] for line in logged(pipe)] == [
        *["warning at warning", "error at warning"] * 2,
        *["debug at debug", "warning at debug", "error at debug"] * 2,
        *["error at error"] * 2,
    ]


@pytest.mark.parametrize("call", [log.set_level, log.configure])
def test_a_level_that_is_none_is_refused(call: Callable[[str], object]) -> None:
    """The refusal names the key and the levels there are."""
    with pytest.raises(ConfigurationError) as refused:
        call("loud")
    assert str(refused.value) == "log.level: must be one of debug, info, warning, error"


async def test_a_full_pipe_holds_up_nobody(pipe: Pipe) -> None:
    """With a pipe that nobody reads the loop goes on, memory is bounded, lines are dropped and counted."""
    pipe.fill()
    counted = []
    writer = log.configure("info", pipe, on_drop=lambda: counted.append(1), capacity_bytes=100_000)
    logger = structlog.get_logger()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    for n in range(5_000):
        logger.info("spam", n=n)
        await asyncio.sleep(0)
    ticking.cancel()
    waiting = writer._waiting_bytes
    assert (ticks >= 5_000, 0 < waiting <= 100_000, writer.dropped > 3_000, writer.dropped) == (
        True,
        True,
        True,
        len(counted),
    )


def test_a_stuck_reader_does_not_keep_the_process(pipe: Pipe) -> None:
    """Flush and close give up after their wait when the pipe is full."""
    pipe.fill()
    log.configure("info", pipe)
    structlog.get_logger().info("never read")
    assert (log.flush(0.01), log.close(0.01)) == (False, False)


def test_lines_wait_for_a_slow_reader(pipe: Pipe) -> None:
    """What fits the queue is written, whole and in order, once the reader reads again."""
    pipe.fill()
    writer = log.configure("info", pipe)
    logger = structlog.get_logger()
    for n in range(1_000):
        logger.info("kept", n=n)
    text = b""
    while not text.endswith(b'"n":999}\n'):
        text += os.read(pipe.reading, 65_536)
    kept = [json.loads(line)["n"] for line in text.lstrip(b"\0").splitlines()]
    assert (kept, writer.dropped) == (list(range(1_000)), 0)


def test_close_writes_what_is_left(pipe: Pipe) -> None:
    """The last lines before the end are written; lines after it are nobody's and do no harm."""
    log.configure("info", pipe)
    logger = structlog.get_logger()
    for n in range(100):
        logger.info("last", n=n)
    assert (log.close(), log.close()) == (True, True)
    assert log._standard_handler not in logging.getLogger().handlers
    logger.info("too late")
    logging.getLogger("asyncio").error("too late")
    assert [line["n"] for line in pipe.lines()] == list(range(100))


def test_a_closed_writer_counts_what_it_is_given(pipe: Pipe) -> None:
    """A line for a writer that is closed is a dropped line."""
    writer = log.LineWriter(pipe.fileno())
    writer.close()
    writer.put(b"late\n")
    assert (writer.dropped, pipe.lines()) == (1, [])


def test_a_reader_that_is_gone_costs_only_lines(pipe: Pipe) -> None:
    """Lines into a broken pipe are counted as dropped, and the writer lives on."""
    os.close(pipe.reading)
    counted = []
    writer = log.configure("info", pipe, on_drop=lambda: counted.append(1))
    for _ in range(2):
        for n in range(3):
            structlog.get_logger().info("nobody listens", n=n)
        assert log.flush(10)
    assert (writer.dropped, len(counted)) == (6, 6)


def test_a_descriptor_that_does_not_block_is_written_whole(pipe: Pipe) -> None:
    """Somebody else's O_NONBLOCK on the shared descriptor loses nothing."""
    os.set_blocking(pipe.writing, False)
    writer = log.LineWriter(pipe.fileno())
    line = b"x" * 300_000 + b"\n"
    writer.put(line)
    text = b""
    while len(text) < len(line):
        text += os.read(pipe.reading, 65_536)
    assert (text, writer.close(), writer.dropped) == (line, True, 0)


def test_put_may_interrupt_put(pipe: Pipe) -> None:
    """A finalizer that logs in the midst of a `put` of the same thread does not lock it up."""
    writer = log.LineWriter(pipe.fileno())
    with writer._changed:
        writer.put(b"{}\n")
    done = threading.Thread(target=writer.close)
    done.start()
    done.join(10)
    assert (done.is_alive(), pipe.lines()) == (False, [{}])


def test_configuring_again_moves_every_logger(pipe: Pipe) -> None:
    """Loggers made before, cached and bound ones too, write to the new stream, and nothing comes out twice."""
    first = Pipe()
    log.configure("info", first)
    bound = structlog.get_logger("early").bind()
    bound.info("one")
    log.configure("info", pipe)
    bound.info("two")
    logging.getLogger("asyncio").warning("three")
    events = ([line["event"] for line in first.lines()], [line["event"] for line in logged(pipe)])
    os.close(first.reading)
    os.close(first.writing)
    assert events == (["one"], ["two", "three"])


def test_capture_logs_works(pipe: Pipe) -> None:
    """structlog's own way of testing what is logged sees our lines."""
    log.configure("info", pipe)
    logger = structlog.get_logger().bind()
    with structlog.testing.capture_logs() as captured:
        logger.info("seen", a=1)
    logger.info("written")
    assert (captured, logged(pipe)) == (
        [{"event": "seen", "a": 1, "log_level": "info"}],
        [{"level": "info", "event": "written"}],
    )


class Colour(Enum):
    """An enumeration."""

    RED = "eyJsecret"


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"token": "abc", "access_token": "abc", "accessToken": "abc", "tokens": ["abc"]}, REDACTED),
        ({"authorization": "abc", "Authorization": "abc", "proxy-authorization": b"abc"}, REDACTED),
        ({"client_secret": "abc", "password": 1234, "old_passwd": "abc", "passphrase": "abc"}, REDACTED),
        ({"key": "abc", "api_key": "abc", "apikey": "abc", "X-API-Key": "abc", "private_key_pem": "abc"}, REDACTED),
        ({"cookie": "abc", "Set-Cookie": "abc", "session_id": "abc", "credentials": {"a": 1}}, REDACTED),
        ({"subject": "alice", "subject_id": "alice", "sub": "alice"}, REDACTED),
        ({"token": None, "password": None, "subject": None}, None),
        ({"token_ok": True, "has_key": True}, True),
        ({"keys": 3, "session_seconds": 3, "token_bytes": 3, "secrets_total": 3, "token_count": 3}, 3),
        ({"key_id": "k1", "monkey": "k1", "subject_type": "k1", "subway": "k1", "keyboard": "k1"}, "k1"),
        ({"a": JWT, "b": JWT.rpartition(".")[0] + ".", "c": JWT.partition(".")[0]}, REDACTED),
        ({"a": f"Bearer {JWT}", "b": "Bearer abc.def~+/=", "c": "Bearer  abc"}, f"Bearer {REDACTED}"),
        ({"a": "said: bearer abc, yes", "b": "said: bearer a.b_c-d~+/, yes"}, f"said: bearer {REDACTED}, yes"),
        ({"a": "DPoP abc"}, f"DPoP {REDACTED}"),
        ({"a": "https://u:p@idp/x?access_token=abc&b=1"}, f"https://{REDACTED}@idp/x?access_token={REDACTED}&b=1"),
        ({"a": "client_secret=abc"}, f"client_secret={REDACTED}"),
        ({"a": "password=abc"}, f"password={REDACTED}"),
        ({"a": "/memory/{id}"}, "/memory/{id}"),
        ({"a": "a=b c@d // e"}, "a=b c@d // e"),
        ({"a": "eyJ"}, "eyJ"),
        ({"a": ValueError(f"bad {JWT}"), "b": ValueError("bad", JWT).__class__(f"bad {JWT}")}, f"bad {REDACTED}"),
        ({"a": Path("/etc/authz")}, "/etc/authz"),
        ({"a": Colour.RED}, "RED"),
        ({"a": SimpleNamespace(password="abc")}, "<SimpleNamespace>"),
        ({"a": BearerToken("abc")}, "<BearerToken>"),
        ({"a": b"abc"}, "<bytes>"),
        ({"a": {"b": [{"token": "x", "ok": JWT}]}}, {"b": [{"token": REDACTED, "ok": REDACTED}]}),
        ({"a": {JWT: 1, 2: "x"}}, {REDACTED: 1, "2": "x"}),
        ({"a": ("x", {"y"}, frozenset({"z"}))}, ["x", ["y"], ["z"]]),
        ({"a": "x" * 5_000}, "x" * MAX_TEXT_CHARACTERS + "..."),
        ({"a": "x" * (MAX_TEXT_CHARACTERS - 9) + JWT}, "x" * (MAX_TEXT_CHARACTERS - 9) + REDACTED),
    ],
)
def test_secrets_are_not_logged(event: dict[str, Any], shown: object) -> None:
    """What is secret by its name, or looks like a token anywhere in a text, is replaced; the rest stays as it is."""
    assert redacted(event) == dict.fromkeys(event, shown)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.just(JWT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), _json, max_size=5))
def test_any_event_becomes_one_line_of_json(event: dict[str, Any]) -> None:
    """Lone surrogates, huge integers, NaN, endless nesting: one line, valid JSON, and no token in it."""
    event.pop("timestamp", None)
    line = log._line(None, "info", {"event": "e", **event})
    assert isinstance(json.loads(line, parse_constant=_refuse), dict)
    assert (line.count(b"\n"), line[-1:], JWT.encode() in line) == (1, b"\n", False)


def test_what_msgspec_cannot_encode_is_encoded_all_the_same() -> None:
    """A lone surrogate or an integer beyond 64 bits does not cost the line, nor make NaN of a null."""
    line = log._line(None, "info", {"event": "\ud800", "big": 2**70, "nan": float("nan"), "inf": -float("inf")})
    assert line == b'{"event":"\\ud800","big":1180591620717411303424,"nan":null,"inf":null}\n'


def test_a_circle_is_cut() -> None:
    """A value that holds itself is written to a depth and no further."""
    circle: list[Any] = []
    circle.append(circle)
    assert redacted({"a": circle}) == {"a": [[[[[[[["..."]]]]]]]]}
