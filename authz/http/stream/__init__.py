"""Decisions over WebSocket (docs/stream.md)."""

from authz.http.callers import Callers
from authz.http.stream.changes import Changes
from authz.http.stream.route import STREAM, StreamRoute
from authz.http.stream.session import Bounds
from authz.pdp import Pdp

__all__ = ["STREAM", "StreamRoute", "stream_of"]


def stream_of(pdp: Pdp, callers: Callers) -> StreamRoute:
    """The route, told of every change that may change an answer."""
    settings, changes = pdp.settings, Changes()
    pdp.policies.follow(lambda: changes.tell("revision"))
    pdp.revocations.follow(lambda: changes.tell("revocation"))
    bounds = Bounds(settings.stream, settings.limits.batch_items)
    return StreamRoute(pdp.decisions, callers, changes, bounds, settings.limits.body_bytes)
