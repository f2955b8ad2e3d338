"""A witness on HTTP: one route to have a checkpoint cosigned, one to read the last one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote

import structlog
from aiohttp import web

from authz.core import AuthzError
from authz.http.addresses import listen
from authz.http.server import Server
from authz.tlog import MalformedError
from authz.witness import (
    MAX_BODY_BYTES,
    PATH,
    SIZE_TYPE,
    CannotCosignError,
    ConflictError,
    InconsistentError,
    UnknownOriginError,
    UnsignedError,
    Witness,
    write_size,
)

BODY_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 75.0
"""A log asks every few seconds, or opens another connection."""
MAX_WAITING: Final = 256
"""Requests that may wait for their turn; more is 503. Each turn is a few milliseconds, most of them the disk's."""

_CHECKPOINT: Final = "/checkpoint/"
_HEADER_BYTES: Final = 8190
_DRAIN_SECONDS: Final = 5.0
_STATUS: Final[dict[type[AuthzError], int]] = {
    MalformedError: 400,
    UnsignedError: 403,
    UnknownOriginError: 404,
    InconsistentError: 422,
    CannotCosignError: 503,
}

_log = structlog.get_logger("authz.http.witness")
_Result = TypeVar("_Result")


class WitnessListener:
    """Takes requests from logs and from whoever monitors them; one at a time reaches the witness."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="witness")
        self._waiting = 0

    def close(self) -> None:
        """Wait for the turn that has begun."""
        self._turns.shutdown(wait=True, cancel_futures=True)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever is not expected is a 500 without a word."""
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the outermost handler: the unexpected cosigns nothing
            _log.error("internal_fault", exc_info=error)
            response = _text(500, "The witness could not answer.\n")
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "authz"
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if path == PATH:
            return await self._add_checkpoint(request) if request.method == "POST" else _not_supported("POST")
        if path.startswith(_CHECKPOINT) or path == "/healthz":
            if request.method not in {"GET", "HEAD"}:
                return _not_supported("GET")
            return _text(200, "ok\n") if path == "/healthz" else await self._last(unquote(path[len(_CHECKPOINT) :]))
        return _text(404, "There is nothing here.\n")

    async def _add_checkpoint(self, request: web.BaseRequest) -> web.Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _text(413, f"A request is at most {MAX_BODY_BYTES} bytes.\n")
        except TimeoutError:
            return _text(408, f"The body did not arrive within {BODY_SECONDS:.0f} seconds.\n")
        except web.RequestPayloadError:
            return _text(400, "The body could not be read: its encoding or length is wrong.\n")
        try:
            line = await self._in_turn(lambda: self._witness.add_checkpoint(body))
        except ConflictError as conflict:
            return web.Response(status=409, body=write_size(conflict.size), headers={"Content-Type": SIZE_TYPE})
        except AuthzError as error:
            return _refused(error)
        return web.Response(body=line, content_type="text/plain", charset="utf-8")

    async def _last(self, origin: str) -> web.Response:
        try:
            note = await self._in_turn(lambda: self._witness.last(origin)) if origin.isprintable() else None
        except CannotCosignError as error:
            return _refused(error)
        if note is None:
            return _text(404, "No checkpoint of this log was cosigned.\n")
        return web.Response(body=note, content_type="text/plain", charset="utf-8")

    async def _in_turn(self, call: Callable[[], _Result]) -> _Result:
        if self._waiting >= MAX_WAITING:
            raise CannotCosignError("too many requests are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._turns, call)
        finally:
            self._waiting -= 1


class RunningWitness(NamedTuple):
    """A witness that listens, and where."""

    runner: web.ServerRunner
    listener: WitnessListener
    url: str

    async def close(self) -> None:
        """Stop accepting, let requests in flight end (at most 5 s), close."""
        await self.runner.cleanup()
        await asyncio.to_thread(self.listener.close)


async def serve_witness(witness: Witness, address: str) -> RunningWitness:
    """Open the listener. Raises ConfigurationError, naming `--listen`, when the address cannot be used."""
    listener = WitnessListener(witness)
    server = Server(
        listener.handle,
        on_unparsed=lambda: None,
        body_bytes=MAX_BODY_BYTES,
        header_bytes=_HEADER_BYTES,
        idle_seconds=IDLE_SECONDS,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    try:
        return RunningWitness(runner, listener, await listen(runner, address, "--listen"))
    except AuthzError:
        await runner.cleanup()
        raise


def _refused(error: AuthzError) -> web.Response:
    response = _text(_STATUS[type(error)], f"{error}\n")
    if isinstance(error, CannotCosignError):
        _log.error("cannot_cosign", detail=str(error))
        response.headers["Retry-After"] = "1"
    return response


def _not_supported(allowed: str) -> web.Response:
    response = _text(405, f"Use {allowed}.\n")
    response.headers["Allow"] = allowed
    return response


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
