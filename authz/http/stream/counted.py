"""What one stream comes to: counted as it happens, recorded when it ends."""

from typing import Any

from authz.core import Event
from authz.http.stream.asking import Asker
from authz.metrics import OTHER, WS_MESSAGES_TOTAL

_KINDS = ("evaluation", "evaluations", "subscribe", "unsubscribe", "push", OTHER)
_COUNTERS = {
    (kind, good): WS_MESSAGES_TOTAL.labels(kind, "ok" if good else "error") for kind in _KINDS for good in (True, False)
}


class Counted:
    """Counts the messages of one stream, by kind; `other` is what is no message at all."""

    def __init__(self) -> None:
        self.answered = dict.fromkeys(_KINDS, 0)
        self.errors = 0
        self.unsent = 0

    def answer(self, kind: str, *, good: bool) -> None:
        """Count one answer that was sent, or one that says why there is none."""
        self.answered[kind] += 1
        self.errors += not good
        _COUNTERS[kind, good].inc()


def opening(event_id: str, connection: str, asker: Asker, told: dict[str, Any]) -> Event:
    """`ws.connect`."""
    return Event(event_id, "ws.connect", {"caller": asker.caller.name, "connection": connection, **told})


def ending(
    new_ids: tuple[str, str, str], connection: str, caller: str, counted: Counted, seconds: float, code: int, fault: str
) -> list[Event]:
    """What came of a stream: the answers by kind in one `ws.message_sent`, what ended it, and that it ended."""
    common = {"caller": caller, "connection": connection}
    sent = {kind: count for kind, count in counted.answered.items() if count}
    summary = {**common, "sent": sent, "errors": counted.errors, "unsent": counted.unsent}
    events = [Event(new_ids[0], "ws.message_sent", summary)]
    if fault:
        events.append(Event(new_ids[1], "ws.error", {**common, "reason": fault, "code": code}))
    return [*events, Event(new_ids[2], "ws.disconnect", {**common, "code": code, "seconds": round(seconds, 3)})]
