"""Who waits for the device: the records that were handed to the committer and not yet reported back, oldest first."""

import asyncio
from collections import deque

from authz.core import AuditUnavailableError, OverloadedError


class Pending:
    """The waiting records of one writer, bounded in number and bytes. It belongs to the event loop."""

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._acks: deque[asyncio.Future[None] | None] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._acks)

    def make_room(self, records: int) -> None:
        """Raises OverloadedError when as many more records would be too many."""
        if len(self._acks) + records > self._most_records or self._bytes >= self._most_bytes:
            raise OverloadedError(f"{len(self._acks)} audit records wait to be written")

    def add(self, size_bytes: int, ack: asyncio.Future[None] | None = None) -> None:
        """One more record waits; `ack` is resolved with it."""
        self._acks.append(ack)
        self._bytes += size_bytes

    def add_all(self, records: int, size_bytes: int) -> None:
        """As many more wait, and nobody for any of them."""
        self._acks.extend([None] * records)
        self._bytes += size_bytes

    def resolve(self, records: int, size_bytes: int) -> None:
        """The oldest records are on the device. Callers that were cancelled meanwhile are passed over."""
        self._bytes -= size_bytes
        for _ in range(records):
            ack = self._acks.popleft()
            if ack is not None and not ack.done():
                ack.set_result(None)

    def fail(self, message: str) -> None:
        """None of them will be acknowledged."""
        for ack in self._acks:
            if ack is not None and not ack.done():
                ack.set_exception(AuditUnavailableError(message))
        self._acks.clear()
        self._bytes = 0
