"""Both listeners on their addresses, and their orderly end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from authz.core import ConfigurationError
from authz.gateways import Reply, RequestHead
from authz.http.addresses import listen
from authz.http.admin import AdminListener
from authz.http.answers import Answer, only_get
from authz.http.bundles import BUNDLE, BundleRoute
from authz.http.callers import DEV_CALLERS, Callers
from authz.http.configured import authzen
from authz.http.data import DataRoutes
from authz.http.decisions import DecisionListener
from authz.http.events import EVENTS, EventsRoute
from authz.http.openapi import PATH as OPENAPI
from authz.http.openapi import decision_document
from authz.http.request_log import RequestLog
from authz.http.server import Handler, Server
from authz.http.stream import STREAM, stream_of
from authz.pdp import Pdp

_DRAIN_SECONDS = 10.0
_DOCUMENT = decision_document()


class Listeners(NamedTuple):
    """The running listeners and where they can be reached."""

    closing: tuple[Callable[[], Awaitable[None]], ...]
    decision: str = ""
    admin: str = ""
    envoy_grpc: str | None = None

    async def close(self) -> None:
        """Stop accepting, let requests in flight end (at most 10 s), close."""
        await asyncio.gather(*(close() for close in self.closing))


async def serve(pdp: Pdp) -> Listeners:
    """Open all listeners.

    Raises ConfigurationError, naming the key, when an address cannot be used.
    """
    settings = pdp.settings
    callers = Callers(settings.callers or (DEV_CALLERS if settings.dev else ()))
    standard = await authzen(pdp, callers)
    data = DataRoutes(pdp.decisions, callers, pdp.meter.refused)
    bundles = BundleRoute(pdp.activation, callers)
    routes = {**standard.routes, **data.routes, EVENTS: EventsRoute(pdp.reporter, callers).answer, OPENAPI: _described}
    routes[BUNDLE] = bundles.answer
    stream = stream_of(pdp, callers)
    routes[STREAM] = stream.answer
    log = RequestLog(settings.log.allows_one_in)
    listener = DecisionListener(pdp.decisions, callers, pdp.meter, log, routes, standard.aliases)
    decision_runner = await _runner(pdp, listener.handle, pdp.meter.unparsed)
    admin = AdminListener(pdp)
    admin_runner = await _runner(pdp, admin.handle, lambda: pdp.meter.refused("unparsed"))
    opened = Listeners((bundles.close, stream.close, decision_runner.cleanup, admin.close, admin_runner.cleanup))
    try:
        opened = opened._replace(
            decision=await listen(decision_runner, settings.listen, "listen"),
            admin=await listen(admin_runner, settings.admin_listen, "admin_listen"),
        )
        if settings.dev and standard.metadata.identifier is None and opened.decision.startswith("http:"):
            standard.metadata.identifier = opened.decision
        if settings.admin.socket:
            await listen(admin_runner, f"unix:{settings.admin.socket}", "admin.socket")
        if settings.envoy_grpc_listen:
            opened = await _with_envoy_grpc(opened, pdp, callers, log)
    except ConfigurationError:
        await opened.close()
        raise
    return opened


async def _described(head: RequestHead, _request: web.BaseRequest) -> Answer:
    """This listener's OpenAPI document."""
    only_get(head)
    return Answer(Reply(200, {"Content-Type": "application/json"}, _DOCUMENT))


async def _with_envoy_grpc(opened: Listeners, pdp: Pdp, callers: Callers, log: RequestLog) -> Listeners:
    try:
        from authz.http.envoy_grpc import EnvoyGrpcListener  # noqa: PLC0415 - an extra that not everybody installs
    except ImportError:
        raise ConfigurationError("envoy_grpc_listen: needs the grpc extra: pip install 'authz-sidecar[grpc]'") from None
    listener = EnvoyGrpcListener(pdp.decisions, callers, pdp.meter, log)
    where = await listener.open(pdp.settings.envoy_grpc_listen or "", "envoy_grpc_listen")
    return opened._replace(closing=(*opened.closing, listener.close), envoy_grpc=where)


async def _runner(pdp: Pdp, handler: Handler, on_unparsed: Callable[[], None]) -> web.ServerRunner:
    limits = pdp.settings.limits
    server = Server(
        handler,
        on_unparsed=on_unparsed,
        body_bytes=limits.body_bytes,
        header_bytes=limits.header_bytes,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    return runner
