"""Decisions over WebSocket (docs/stream.md)."""

from typing import Final

from authz.http.callers import Callers
from authz.http.stream.changes import Changes
from authz.http.stream.room import Room
from authz.http.stream.route import STREAM, StreamRoute
from authz.http.stream.session import Bounds
from authz.pdp import Pdp

__all__ = ["STREAM", "StreamRoute", "stream_of"]


_QUEUE_SHARE: Final = 4


def stream_of(pdp: Pdp, callers: Callers) -> StreamRoute:
    """The route, told of every change that may change an answer."""
    settings, changes = pdp.settings, Changes()
    pdp.policies.follow(lambda: changes.tell("revision"))
    pdp.revocations.follow(lambda: changes.tell("revocation"))
    # More at once would wait for the ledger, and be refused there: like this they are not read yet.
    at_once = Room(max(1, settings.audit.queue_records // _QUEUE_SHARE))
    bounds = Bounds(settings.stream, settings.limits.batch_items, at_once)
    return StreamRoute(pdp.decisions, callers, changes, bounds, settings.limits.body_bytes)
