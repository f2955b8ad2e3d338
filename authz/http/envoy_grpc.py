"""The listener for Envoy's gRPC `ext_authz`: the same decisions over HTTP/2. Importing it takes the `grpc` extra."""

import asyncio
import time
from pathlib import Path
from urllib.parse import unquote

import grpc
from multidict import CIMultiDict

from authz.config import split_address
from authz.core import AccessRequest, BadRequestError, ConfigurationError, Decision, DecisionPoint
from authz.gateways import Reply, RequestHead, envoy_grpc, write, write_observed
from authz.http.answers import refused
from authz.http.callers import CALLER_HEADER, Callers
from authz.http.errors import CallerForbiddenError, CallerUnauthenticatedError
from authz.http.request_log import RequestLog
from authz.metrics import DecisionMeter

ROUTE = "/check/envoy-grpc"
"""What a caller's `routes` call it."""

_DRAIN_SECONDS = 10.0
_MAX_MESSAGE_BYTES = 256 * 1024
_NO_HEAD = RequestHead("POST", ROUTE, CIMultiDict())
_CODES: dict[type[Exception], grpc.StatusCode] = {
    CallerUnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    CallerForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    BadRequestError: grpc.StatusCode.INVALID_ARGUMENT,
}

Context = grpc.aio.ServicerContext[bytes, bytes]


class EnvoyGrpcListener:
    """Answers `Check`. Whatever is no answer is an error of the call, which Envoy takes for a refusal."""

    def __init__(self, decisions: DecisionPoint, callers: Callers, meter: DecisionMeter, log: RequestLog) -> None:
        self._decide = decisions.decide
        self._callers = callers
        self._meter = meter
        self._log = log
        self._deciding: set[asyncio.Future[tuple[Reply, Decision, AccessRequest]]] = set()
        self._server = grpc.aio.server(
            options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES))
        )
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self.check)
        service, _, name = envoy_grpc.METHOD[1:].partition("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))

    async def open(self, address: str, key: str) -> str:
        """Listen; the address, with the port that was free if 0 was asked for. Raises ConfigurationError."""
        place = split_address(address, key)
        where = f"unix:{place}" if isinstance(place, Path) else f"{place[0]}:{place[1]}"
        try:
            port = self._server.add_insecure_port(where)
        except RuntimeError:
            raise ConfigurationError(f"{key}: cannot listen on {address}") from None
        await self._server.start()
        if isinstance(place, Path):
            await asyncio.to_thread(place.chmod, 0o600)
            return where
        return f"{place[0]}:{port}"

    async def close(self) -> None:
        """Stop accepting, let calls in flight end (at most 10 s), close."""
        await self._server.stop(_DRAIN_SECONDS)

    async def check(self, request: bytes, context: Context) -> bytes:
        """One `CheckRequest`."""
        started = time.perf_counter()
        # Envoy gives up on a call by cancelling it; the decision is finished and recorded all the same.
        deciding = asyncio.ensure_future(self._answer(request, context))
        self._deciding.add(deciding)
        deciding.add_done_callback(self._deciding.discard)
        try:
            reply, decision, asked = await asyncio.shield(deciding)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the unexpected is an error, never an allow
            await context.abort(*self._refused(error, time.perf_counter() - started))
        seconds = time.perf_counter() - started
        self._meter.request_finished(decision.route, asked.action.name, reply.status, seconds, asked, decision)
        self._log.finished(asked, decision, reply.status, seconds)
        answer = envoy_grpc.wrap(reply)
        if answer is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, decision.reason)
        return answer

    async def _answer(self, request: bytes, context: Context) -> tuple[Reply, Decision, AccessRequest]:
        known = self._callers.identify_peer(_host(context.peer()), _secret(context), ROUTE)
        asked = envoy_grpc.read(request, known.caller, context.time_remaining())
        decision = await self._decide(asked)
        head = RequestHead(asked.action.name, asked.resource.id, CIMultiDict())
        reply = write_observed(decision) if known.caller.observes else write(head, decision)
        return reply, decision, asked

    def _refused(self, error: Exception, seconds: float) -> tuple[grpc.StatusCode, str]:
        """How a call that came to nothing ends: with the reason for a fault of the caller's, else without a word.

        It is counted and logged as the same over HTTP is.
        """
        reply = refused(_NO_HEAD, error, self._meter.refused)
        self._meter.request_finished(None, _NO_HEAD.method, reply.status, seconds)
        self._log.refused(_NO_HEAD, reply, seconds)
        code = _CODES.get(type(error))
        return (grpc.StatusCode.INTERNAL, "The service could not decide.") if code is None else (code, str(error))


def _host(peer: str) -> str | None:
    """The host in gRPC's name of a peer, `ipv4:127.0.0.1:5` or `ipv6:%5B::1%5D:5`; None for a Unix socket."""
    kind, _, address = peer.partition(":")
    return None if kind == "unix" else unquote(address).rpartition(":")[0].strip("[]")


def _secret(context: Context) -> str | None:
    values = [value for name, value in context.invocation_metadata() or () if name == CALLER_HEADER.lower()]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None
