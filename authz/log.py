"""Operational logs: one JSON object per line, nothing secret in it, and never a wait for whoever reads them.

Lines go into a bounded queue that one thread writes out. When the queue is full they are dropped and counted: the
ledger keeps what must be kept, a log may lose lines before it holds up a decision. structlog's loggers and the
standard library's end in the same place.
"""

import atexit
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog
from structlog.processors import ExceptionRenderer, TimeStamper, add_log_level
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, WrappedLogger

from authz.core import ConfigurationError
from authz.redaction import redacted

CAPACITY_BYTES = 4 * 1024 * 1024
"""Most text that waits to be written."""

FLUSH_SECONDS = 2.0
"""Longest wait for the last lines to be written when the process ends."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_MAX_FRAMES = 20
_RETRY_SECONDS = 0.01
_LINGER_SECONDS = 0.02
"""How long the writer lets lines gather, so that it does not fight for the interpreter over every single one."""


class Stream(Protocol):
    """Where lines go: anything with a file descriptor."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


class LineWriter:
    """A bounded queue of lines and the one thread that writes them to a file descriptor.

    `put` may be called from any thread, and from a finalizer in the midst of another `put`: the lock is reentrant.
    """

    def __init__(
        self, descriptor: int, *, capacity_bytes: int = CAPACITY_BYTES, on_drop: Callable[[], None] | None = None
    ) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._capacity_bytes = capacity_bytes
        self._on_drop = on_drop
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._closing = False
        # A daemon: a pipe that nobody reads must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue one line, or drop and count it. Never waits for the stream."""
        with self._changed:
            fits = not self._closing and self._waiting_bytes + len(line) <= self._capacity_bytes
            if fits:
                self._lines.append(line)
                self._waiting_bytes += len(line)
                if len(self._lines) == 1:
                    self._changed.notify_all()
        if not fits:
            self._drop(1)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything queued is written; False if that took too long."""
        self._hurry.set()
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting_bytes == 0, timeout_seconds)

    def close(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Take no more lines and wait for the queued ones; False if that took too long and they are given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._hurry.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while lines := self._taken():
            text = b"".join(lines)
            if not self._written(text):
                self._drop(len(lines))
            with self._changed:
                self._waiting_bytes -= len(text)
                self._changed.notify_all()

    def _taken(self) -> list[bytes]:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closing)
        if not self._closing:
            self._hurry.wait(_LINGER_SECONDS)
            self._hurry.clear()
        with self._changed:
            lines, self._lines = self._lines, []
        return lines

    def _written(self, text: bytes) -> bool:
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # Somebody who shares the descriptor made it non-blocking.
                time.sleep(_RETRY_SECONDS)
            except OSError:  # The reader is gone or the disk is full: nobody is left to tell.
                return False
        return True

    def _drop(self, lines: int) -> None:
        with self._changed:
            self.dropped += lines
        if self._on_drop is not None:
            for _ in range(lines):
                self._on_drop()


class _Output:
    """Where all loggers end, whenever they were made: the level and the writer can change under them."""

    def __init__(self) -> None:
        self.level = logging.INFO
        self.writer: LineWriter | None = None

    def put(self, line: bytes) -> None:
        if self.writer is not None:
            self.writer.put(line)


_output = _Output()


class _NamedLogger:
    """What structlog wraps: knows its name, hands finished lines on."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def msg(self, line: bytes) -> None:
        _output.put(line)

    debug = info = warning = error = critical = exception = msg


def _dropped_below_level(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if LEVELS.get(method, logging.CRITICAL) < _output.level:
        raise structlog.DropEvent
    return event


def _named(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    name = getattr(logger, "name", None)
    if name:
        event["logger"] = name
    return event


def _line(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    """The finished line: when, how bad and what first, then everything else without its secrets."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "logger", "event") if name in event}
    shown = redacted({**first, **event})
    try:
        return _encode(shown) + b"\n"
    except (UnicodeEncodeError, OverflowError):  # A lone surrogate, or an integer beyond 64 bits.
        finite = json.loads(json.dumps(shown), parse_constant=lambda _: None)
        return json.dumps(finite, separators=(",", ":")).encode() + b"\n"


_encode = msgspec.json.Encoder().encode
_PROCESSORS: list[structlog.typing.Processor] = [
    _dropped_below_level,
    structlog.contextvars.merge_contextvars,
    add_log_level,
    _named,
    TimeStamper(fmt="iso", utc=True),
    ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=_MAX_FRAMES)),
    _line,
]


class _StandardHandler(logging.Handler):
    """Takes what the standard library's loggers say (aiohttp, asyncio, warnings) the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = {"event": _message(record)}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        method = record.levelname.lower()
        for process in _PROCESSORS:
            event = process(record, method, event)
        if isinstance(event, bytes):
            _output.put(event)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # Arguments that do not fit the message: still worth a line.
        return str(record.msg)


_standard_handler = _StandardHandler()


def configure(
    level: str = "info",
    stream: Stream | None = None,
    *,
    on_drop: Callable[[], None] | None = None,
    capacity_bytes: int = CAPACITY_BYTES,
) -> LineWriter:
    """Send all logs to `stream` (standard error) from now on; `on_drop` is called for each line that is lost.

    Raises ConfigurationError when there is no such level.
    """
    set_level(level)
    close()
    descriptor = (stream or sys.stderr).fileno()
    writer = _output.writer = LineWriter(descriptor, capacity_bytes=capacity_bytes, on_drop=on_drop)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=_NamedLogger,
        cache_logger_on_first_use=True,
    )
    logging.getLogger().addHandler(_standard_handler)
    logging.captureWarnings(capture=True)
    atexit.register(close)
    return writer


def set_level(level: str) -> None:
    """Write lines of this level and above, at once and for every logger there is."""
    if level not in LEVELS:
        raise ConfigurationError(f"log.level: must be one of {', '.join(LEVELS)}")
    _output.level = LEVELS[level]
    logging.getLogger().setLevel(LEVELS[level])


def flush(timeout_seconds: float = FLUSH_SECONDS) -> bool:
    """Wait until everything logged so far is written; False if that took too long."""
    return _output.writer is None or _output.writer.flush(timeout_seconds)


def close(timeout_seconds: float = FLUSH_SECONDS) -> bool:
    """Write what is left and stop; False if that took too long."""
    atexit.unregister(close)
    logging.captureWarnings(capture=False)
    logging.getLogger().removeHandler(_standard_handler)
    writer, _output.writer = _output.writer, None
    return writer is None or writer.close(timeout_seconds)
