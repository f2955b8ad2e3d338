"""The thread that reads all streams and hands their records to the consumers."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.status import ConsumerStatus
from authz.audit.trail.consumer import Consumer
from authz.audit.trail.place import Batch, Place
from authz.audit.trail.reading import StreamReader
from authz.core import Clock

POLL_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 10.0
"""A consumer that failed is opened again after this."""

_log = structlog.get_logger("authz.auditor.trail")


class _Subscription:
    """One consumer: open with its places, or failed and waiting."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.places: dict[str, Place] = {}
        self.told: dict[str, Sequence[str]] = {}
        self.failure: str | None = None
        self.failures = 0
        self.again_at = 0.0
        self.is_open = False

    def place(self, stream: str) -> Place:
        return self.places.get(stream, Place())


class Trail:
    """Reads what is durable, once for all consumers that stand at the same place, which is all of them before long.

    `start` begins, `stop` ends after the batch in hand; `status` may be asked for from any thread. Without consumers
    nothing is read.
    """

    def __init__(self, audit: Path, consumers: Sequence[Consumer], clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._subscriptions = [_Subscription(consumer) for consumer in consumers]
        self._readers: dict[str, StreamReader] = {}
        self._unread: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._status = tuple(ConsumerStatus(each.name) for each in consumers)

    def start(self) -> None:
        """Begin, if there is anybody to read for."""
        if self._subscriptions:
            self._thread = threading.Thread(target=self._run, name="trail", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, after the batch that is in hand."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def status(self) -> tuple[ConsumerStatus, ...]:
        """One row for each consumer."""
        return self._status

    def catch_up(self) -> None:
        """Hand over everything that is durable now, in the caller's thread. Not for a trail that was started."""
        try:
            while not self._stopped.is_set() and self._round():
                pass
        finally:
            self._close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._round():
                self._stopped.wait(POLL_SECONDS)
        self._close()

    def _round(self) -> bool:
        """One batch of each stream for each place where a consumer stands; whether more is there already."""
        self._look()
        for each in self._subscriptions:
            if not each.is_open and self._clock.elapsed() >= each.again_at:
                self._attempt(each, partial(self._open, each))
        done = [self._advance(reader) for reader in self._readers.values() if not self._stopped.is_set()]
        self._status = tuple(map(self._status_of, self._subscriptions))
        return any(done) and any(each.lag_records for each in self._status)

    def _look(self) -> None:
        try:
            found = {each.name: each for each in stream_directories(self._audit)}
        except LedgerUnreadableError:
            return
        for name, directory in found.items():
            reader = self._readers.setdefault(name, StreamReader(directory))
            try:
                reader.look()
                self._unread.pop(name, None)
            except OSError as error:
                self._unread[name] = str(error)

    def _open(self, subscription: _Subscription) -> None:
        subscription.is_open = True
        subscription.told = {}
        subscription.places = dict(subscription.consumer.open())
        if not subscription.places and subscription.consumer.begins == "end":
            ends = {name: reader.end for name, reader in self._readers.items()}
            subscription.places = {name: end for name, end in ends.items() if end is not None}
        subscription.failure = None

    def _advance(self, reader: StreamReader) -> bool:
        for each in self._open_ones():
            if each.told.get(reader.stream) != reader.segments:
                self._attempt(each, partial(self._tell, each, reader))
        places = {each.place(reader.stream)[:3] for each in self._open_ones()}
        done = [self._advance_from(reader, place) for place in sorted(places)]
        return any(done)

    def _advance_from(self, reader: StreamReader, place: tuple[str, int, int]) -> bool:
        """Those that stand here, up to where the next ones stand, so that they go on together."""
        here = [each for each in self._open_ones() if each.place(reader.stream)[:3] == place]
        if not here:
            return False
        others = [each.place(reader.stream) for each in self._open_ones()]
        ahead = min((other for other in others if other[:3] > place), key=lambda other: other[:3], default=None)
        try:
            batch = reader.next(here[0].place(reader.stream), ahead)
        except OSError as error:  # pruned meanwhile, or a disk that is away: the next round looks again
            self._unread[reader.stream] = str(error)
            return False
        if batch is None:
            return False
        taken = [self._attempt(each, partial(self._take, each, batch)) for each in here]
        return any(taken)

    def _tell(self, subscription: _Subscription, reader: StreamReader) -> None:
        subscription.consumer.kept(reader.stream, reader.segments)
        subscription.told[reader.stream] = reader.segments

    def _take(self, subscription: _Subscription, batch: Batch) -> None:
        subscription.consumer.take(batch)
        subscription.places[batch.stream] = batch.after

    def _open_ones(self) -> list[_Subscription]:
        return [each for each in self._subscriptions if each.is_open]

    def _attempt(self, subscription: _Subscription, work: Callable[[], None]) -> bool:
        """Whether it worked. A consumer that fails holds up neither the others nor the signing."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a consumer may fail in any way, and must not take the others along
            subscription.failure = f"{type(error).__name__}: {error}"
            subscription.failures += 1
            subscription.again_at = self._clock.elapsed() + AGAIN_SECONDS
            _log.error("trail_consumer_failed", consumer=subscription.consumer.name, error=subscription.failure)
            self._close_one(subscription)
            return False
        return True

    def _close_one(self, subscription: _Subscription) -> None:
        if not subscription.is_open:
            return
        subscription.is_open = False
        try:
            subscription.consumer.close()
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("trail_consumer_not_closed", consumer=subscription.consumer.name, error=str(error))

    def _close(self) -> None:
        for each in self._subscriptions:
            self._close_one(each)

    def _status_of(self, subscription: _Subscription) -> ConsumerStatus:
        lags = {name: reader.lag_records(subscription.place(name)) for name, reader in self._readers.items()}
        troubles = (*self._unread.values(), *(reader.trouble for reader in self._readers.values()))
        return ConsumerStatus(
            subscription.consumer.name,
            lag_records=sum(lags.values()),
            failure=subscription.failure,
            failures=subscription.failures,
            trouble=next((trouble for trouble in troubles if trouble is not None), None),
        )
