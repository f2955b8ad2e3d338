"""The ledger on the admin listener: its logs by C2SP's tlog-tiles, single events, and their proofs.

GET /v1/audit/checkpoint                       the node's newest checkpoint
GET /v1/audit/log/<stream, or node>/...        checkpoint, tile/<level>/<index>[.p/<width>], tile/entries/...
GET /v1/audit/events/<id>                      one event
GET /v1/audit/proof/<id, or stream/number>     its proof, with its record (https://c2sp.org/tlog-proof)

Nothing of it is verified for the client: it holds the bytes against the node's public key itself.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import unquote

import msgspec
import structlog

from authz import audit
from authz.gateways import Reply, RequestHead, refusal
from authz.http.errors import NotFoundError
from authz.pdp import Pdp

LOG: Final = "/v1/audit/log/"
EVENT: Final = "/v1/audit/events/"
PROOF: Final = "/v1/audit/proof/"

_AT_ONCE: Final = 2
"""Threads that read the ledger for these routes: what is in memory, and what it takes from decisions, is bounded."""

_TEXT: Final = "text/plain; charset=utf-8"
_BINARY: Final = "application/octet-stream"
_NOT_THERE: Final = (audit.NoSuchEventError, audit.NotCoveredError, audit.NotServedError)
_FAULTS: Final = {
    audit.LedgerDamagedError: "What lies there is not what was recorded or signed. `authz audit verify` says more.",
    audit.LedgerUnreadableError: "The ledger cannot be read now. The log of the service says why.",
}

_log = structlog.get_logger("authz.http.ledger")
_Result = TypeVar("_Result")


class LedgerRoutes:
    """Answers from the files of the ledger, off the event loop."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def checkpoint(self, head: RequestHead) -> Reply:
        """Of the node: its own stream's, which stands for all the others."""
        return await self._reply(head, _TEXT, lambda: self._pdp.audit_log(audit.NODE, "checkpoint"))

    async def log(self, head: RequestHead) -> Reply:
        """A part of one log. The path is taken as it was sent: in another spelling there is nothing there."""
        stream, _, path = _below(head, LOG).partition("/")
        content_type = _TEXT if path == "checkpoint" else _BINARY
        return await self._reply(head, content_type, lambda: self._pdp.audit_log(stream, path))

    async def event(self, head: RequestHead) -> Reply:
        """One event, by its id."""
        event = unquote(_below(head, EVENT))
        return await self._reply(head, "application/json", lambda: msgspec.json.encode(self._pdp.audit_event(event)))

    async def proof(self, head: RequestHead) -> Reply:
        """The proof of one event, as `authz audit prove` makes it."""
        event = unquote(_below(head, PROOF))
        return await self._reply(head, _TEXT, lambda: self._pdp.audit_proof(event).proof)

    async def _reply(self, head: RequestHead, content_type: str, read: Callable[[], bytes]) -> Reply:
        async with self._turns:
            try:
                return Reply(200, {"Content-Type": content_type}, await asyncio.to_thread(read))
            except _NOT_THERE as error:
                raise NotFoundError(str(error)) from None
            except tuple(_FAULTS) as error:
                _log.error("ledger_not_served", target=head.target, code=error.code, detail=str(error))
                return refusal(head, 503, error.code, _FAULTS[type(error)])


def _below(head: RequestHead, prefix: str) -> str:
    """What follows the route's own path."""
    return head.target.partition("?")[0].removeprefix(prefix)
