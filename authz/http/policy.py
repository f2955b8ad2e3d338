"""`/v1/policy`: what is in force, and the two commands that change it. Nothing is ever uploaded here."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from authz.core import AuthzError, BadRequestError
from authz.gateways import Reply, RequestHead
from authz.pdp import Pdp

_T = TypeVar("_T")


class Activate(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/policy/activate`."""

    revision: str
    reason: str = ""


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/policy/rollback`; without a revision, to the one before."""

    reason: str
    revision: str | None = None


class PolicyRoutes:
    """Shows the status, and passes commands on."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp

    async def status(self, _head: RequestHead) -> Reply:
        """`GET /v1/policy`."""
        return self._status()

    async def activate(self, body: bytes, who: str) -> Reply:
        """`POST /v1/policy/activate`."""
        asked = _decoded(body, Activate)
        return await self._done(lambda: self._pdp.activation.activate(asked.revision, who, asked.reason))

    async def rollback(self, body: bytes, who: str) -> Reply:
        """`POST /v1/policy/rollback`."""
        asked = _decoded(body, Rollback)
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


def _json(document: Any, status: int = 200, media: str = "application/json") -> Reply:
    return Reply(status, {"Content-Type": media}, msgspec.json.encode(document))


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"body: {error}") from None
