"""`/v1/policy`: what is in force and why it decided so, and the two commands that change it. Nothing is uploaded."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from authz.audit import NoSuchEventError
from authz.bundle import read
from authz.core import AuthzError, BadRequestError
from authz.gateways import Reply, RequestHead
from authz.http.errors import NotFoundError
from authz.pdp import Pdp
from authz.policy import Narrowed, NotADecisionError, cells, explain_event, matrix_of, opened_bundle

EXPLAIN: Final = "/v1/policy/explain/"

_T = TypeVar("_T")
_MOST_REASON_CHARACTERS = 500


class Activate(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/policy/activate`. `accept_flips`: also where a replay of the newest decisions forbids it."""

    revision: str
    reason: str = ""
    accept_flips: bool = False


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/policy/rollback`; without a revision, to the one before."""

    reason: str
    revision: str | None = None


class PolicyRoutes:
    """Shows the status, and passes commands on."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp
        self._turn = asyncio.Semaphore(1)

    async def status(self, _head: RequestHead) -> Reply:
        """`GET /v1/policy`."""
        return self._status()

    async def bundle(self, _head: RequestHead) -> Reply:
        """`GET /v1/policy/bundle`: the bundle in force, as it came."""
        return Reply(200, {"Content-Type": "application/gzip"}, self._pdp.activation.candidate.archive)

    async def matrix(self, _head: RequestHead) -> Reply:
        """`GET /v1/policy/matrix`: who may do what under the policy in force."""
        async with self._turn:
            return await asyncio.to_thread(self._matrix, self._pdp.activation.candidate.archive)

    async def explain(self, head: RequestHead) -> Reply:
        """`GET /v1/policy/explain/{id}`: why a recorded decision came out so, by the policy that made it."""
        event_id = unquote(head.target.partition("?")[0].removeprefix(EXPLAIN))
        async with self._turn:
            try:
                event = await asyncio.to_thread(self._pdp.audit_event, event_id)
                return _json(msgspec.to_builtins(await explain_event(event, self._pdp.kept_bundle)))
            except (NoSuchEventError, NotADecisionError) as error:
                raise NotFoundError(str(error)) from None

    def _matrix(self, archive: bytes) -> Reply:
        """On its own instance of the policy, so that no decision waits for it."""
        found = opened_bundle("in force", read(archive))
        try:
            matrix = asyncio.run(matrix_of(found))
        finally:
            found.policy.close()
        rows = [msgspec.to_builtins(cell) for cell in cells(matrix.asked, matrix.table, Narrowed())]
        return _json({"revision": matrix.table.revision, "undecided": matrix.table.undecided, "cells": rows})

    async def activate(self, body: bytes, who: str) -> Reply:
        """`POST /v1/policy/activate`."""
        asked = _decoded(body, Activate)
        _check_reason(asked.reason, needed=asked.accept_flips)
        return await self._done(
            lambda: self._pdp.activation.activate(asked.revision, who, asked.reason, accept_flips=asked.accept_flips)
        )

    async def rollback(self, body: bytes, who: str) -> Reply:
        """`POST /v1/policy/rollback`."""
        asked = _decoded(body, Rollback)
        _check_reason(asked.reason, needed=True)
        return await self._done(lambda: self._pdp.activation.rollback(asked.revision, who, asked.reason))

    def _status(self) -> Reply:
        return _json(msgspec.to_builtins(self._pdp.following.status()))

    async def _done(self, command: Callable[[], Awaitable[None]]) -> Reply:
        """The status afterwards, or 409 with what was wrong with the bundle."""
        try:
            await command()
        except BadRequestError:
            raise
        except AuthzError as error:
            reason = getattr(error, "reason", error.code)
            document = {"type": "about:blank", "title": "Conflict", "status": 409, "reason": reason}
            return _json({**document, "detail": str(error)}, 409, "application/problem+json")
        return self._status()


def _check_reason(reason: str, *, needed: bool) -> None:
    """It is recorded, and a rollback's is shown for as long as it holds. Raises BadRequestError."""
    if len(reason) > _MOST_REASON_CHARACTERS or not reason.isprintable() or (needed and not reason.strip()):
        raise BadRequestError(f"reason: must say in 1 to {_MOST_REASON_CHARACTERS} printable characters why")


def _json(document: Any, status: int = 200, media: str = "application/json") -> Reply:
    return Reply(status, {"Content-Type": media}, msgspec.json.encode(document))


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"body: {error}") from None
