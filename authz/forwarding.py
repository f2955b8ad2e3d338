"""Events from a log, one JSON object a line, brought to a sidecar: none lost, none recorded twice.

What was sent is sent again until the sidecar answers for it; it knows by the events' IDs what it has already.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from authz.core import MOST_REPORTED, AuthzError, ConfigurationError

_MOST_BYTES: Final = 60_000
"""Of one call: below `limits.body_bytes`."""

_LINGER_SECONDS: Final = 0.2
_DEADLINE_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0
_MOST_WAITING: Final = 4096
"""Lines that are read ahead while the sidecar does not answer; then whoever writes the log has to wait."""


class NotForwardedError(AuthzError):
    """The sidecar refuses this caller or the call as such: sending it again changes nothing."""

    code = "not_forwarded"


class _Error(Struct):
    code: str
    message: str


class _Item(Struct):
    id: str | None
    outcome: str
    error: _Error | None = None


class _Report(Struct):
    recorded: int
    duplicate: int
    refused: int
    events: list[_Item]


class Forwarded(Struct):
    """How many events were recorded, were there before, and were refused."""

    recorded: int = 0
    duplicate: int = 0
    refused: int = 0


_decode: Final = msgspec.json.Decoder(_Report).decode


class _Place:
    """Where events go, and by which secret. Raises ConfigurationError for a URL that is none."""

    def __init__(self, url: str, secret: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigurationError(f"--url: {url!r} is not http://HOST:PORT or https://HOST")
        self.url = url
        self._open = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host = parts.netloc
        self._path = f"{parts.path.rstrip('/')}/v1/events"
        self._headers = {"Content-Type": "application/json"}
        if secret is not None:
            self._headers["Authorization"] = f"Bearer {secret}"

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError, HTTPException."""
        connection = self._open(self._host, timeout=_DEADLINE_SECONDS)
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def forward(lines: Iterable[bytes], url: str, secret: str | None, say: Callable[[str], None]) -> Forwarded:
    """Send every line until the last one is answered for. `say` is told of what was refused, and of waiting.

    Raises NotForwardedError, ConfigurationError.
    """
    told, place = Forwarded(), _Place(url, secret)
    for batch in _batches(lines):
        report = _send(b"[" + b",".join(batch) + b"]", place, say)
        told.recorded += report.recorded
        told.duplicate += report.duplicate
        told.refused += report.refused
        for item in report.events:
            if item.error is not None:
                say(f"refused: {item.id}: {item.error.code}: {item.error.message}")
    return told


class _Lines:
    """The lines of a log, read ahead in a thread."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._held: bytes | None = None
        self._ended = False
        threading.Thread(target=self._read, args=(lines,), name="log", daemon=True).start()

    def take(self, seconds: float | None = None) -> bytes | None:
        """The next line; None when there is none within so long, or no more at all."""
        if self._held is not None or self._ended:
            held, self._held = self._held, None
            return held
        try:
            line = self._waiting.get(timeout=None if seconds is None else max(0.0, seconds))
        except queue.Empty:
            return None
        self._ended = line is None
        return line

    def put_back(self, line: bytes) -> None:
        """For the next time."""
        self._held = line

    def _read(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if stripped := line.strip():
                self._waiting.put(_as_json(stripped))
        self._waiting.put(None)


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines together as they come; a lone one waits a moment for company."""
    source = _Lines(lines)
    while (line := source.take()) is not None:
        batch, size, until = [line], len(line), time.monotonic() + _LINGER_SECONDS
        while len(batch) < MOST_REPORTED and (line := source.take(until - time.monotonic())) is not None:
            if size + len(line) >= _MOST_BYTES:
                source.put_back(line)
                break
            batch.append(line)
            size += len(line) + 1
        yield batch


def _as_json(line: bytes) -> bytes:
    """The line, or where it is no JSON, or more than any event may be, a text that is refused in its place.

    Bytes that are no UTF-8 are replaced: a client must not keep its requests out by them.
    """
    line = line.decode(errors="replace").encode()
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b'"not JSON"'
    return line if len(line) < _MOST_BYTES else b'"too long"'


def _send(body: bytes, place: _Place, say: Callable[[str], None]) -> _Report:
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            status, answer = place.post(body)
        except (OSError, HTTPException) as error:
            why = str(error) or type(error).__name__
        else:
            if status < 500 and status != 429:
                return _answered(status, answer)
            why = f"HTTP {status}"
        say(f"waiting for {place.url}: {why}")
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _answered(status: int, answer: bytes) -> _Report:
    """The report in a 200 or 400. Raises NotForwardedError for all else."""
    if status in (200, 400):
        with suppress(msgspec.MsgspecError):
            return _decode(answer)
    raise NotForwardedError(f"HTTP {status}: {answer[:500].decode(errors='replace')}")
