"""`/v1/revocations`: revoke, lift, list. What is revoked travels in a body, never in a URL, and is answered nowhere."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from authz.core import BadRequestError, Event, Identified, Pseudonyms
from authz.gateways import Reply, RequestHead
from authz.http.errors import NotFoundError
from authz.identity import FOREVER, Revocation, RevocationKind, Revoke
from authz.pdp import Pdp

PATH = "/v1/revocations"
_MAX_VALUE = 1024
_MAX_REASON = 256
_PAGE = 100
_MOST_LISTED = 1000


class RevokeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST`: exactly one of `subject`, `jti` and `session`, or `issued_before` alone.

    `issued_before` beside `subject` or `session`: only their tokens from before that second. `issuer`: only that
    issuer's. `expires_at`: when the token with this `jti` ends by itself, and with it the revocation.
    """

    reason: str
    subject: str | None = None
    jti: str | None = None
    session: str | None = None
    issued_before: int | None = None
    issuer: str = ""
    expires_at: int | None = None


class RevocationRoutes:
    """Answers for whoever was let through. Each change is an `auth.revoked` event."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp

    async def revoke(self, body: bytes, who: str) -> Reply:
        """In force for the next decision when this returns. Raises BadRequestError, RevocationsUnavailableError."""
        return await _to_the_end(self._revoke(self._read(body), who))

    async def lift(self, head: RequestHead, who: str) -> Reply:
        """Lift the one that the query names. Raises BadRequestError, NotFoundError, RevocationsUnavailableError."""
        query = dict(parse_qsl(head.target.partition("?")[2]))
        found, reason = query.pop("id", ""), query.pop("reason", "")
        if query or not found:
            raise BadRequestError("query: must be id, and reason if there is one, and nothing else")
        return await _to_the_end(self._lift(found, _checked_reason(reason or "lifted"), who))

    async def listed(self, head: RequestHead) -> Reply:
        """A page, the newest first. Raises BadRequestError, RevocationsUnavailableError."""
        query = dict(parse_qsl(head.target.partition("?")[2]))
        limit, after = query.pop("limit", str(_PAGE)), query.pop("cursor", "")
        if query or not limit.isdecimal() or not 1 <= int(limit) <= _MOST_LISTED:
            raise BadRequestError(f"query: must be limit, from 1 to {_MOST_LISTED}, and cursor, and nothing else")
        rows = await self._pdp.revocations.listed(int(limit), after)
        return _json({"revocations": [_shown(row) for row in rows], "held": len(self._pdp.revocations)})

    async def _revoke(self, asked: tuple[RevokeBody, Revoke], who: str) -> Reply:
        body, what = asked
        revocation_id = self._pdp.new_id()
        pseudonym = (await self._pseudonyms(what)).pseudonym(what.value) if what.value else None
        made = await self._pdp.revocations.revoke(what, revocation_id, pseudonym, who, body.reason)
        await self._record(made, "revoked", made.reason, who)
        return _json(_shown(made))

    async def _lift(self, revocation_id: str, reason: str, who: str) -> Reply:
        lifted = await self._pdp.revocations.lift(revocation_id)
        if lifted is None:
            raise NotFoundError("There is no such revocation")
        await self._record(lifted, "lifted", reason, who)
        return _json({**_shown(lifted), "lifted_by": who})

    async def _record(self, revocation: Revocation, done: str, reason: str, who: str) -> None:
        """It holds, recorded or not: with a ledger in trouble the record is owed."""
        body = {**_shown(revocation), "revocation": revocation.id, "done": done, "reason": reason, "by": who}
        del body["id"], body["at"]
        await self._pdp.emergency.ledger.record(Event(self._pdp.new_id(), "auth.revoked", body))

    async def _pseudonyms(self, what: Revoke) -> Pseudonyms:
        decisions = self._pdp.decisions
        if decisions.identities is None:
            return decisions.pseudonyms
        named = {what.kind: what.value}
        others = (what.value,) if what.kind == "jti" else ()
        return await decisions.identities.disguise(Identified(named.get("subject"), named.get("session"), others))

    def _read(self, body: bytes) -> tuple[RevokeBody, Revoke]:
        try:
            asked = msgspec.json.decode(body, type=RevokeBody)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequestError(f"body: {error}" if isinstance(error, msgspec.ValidationError) else "body") from None
        _checked_reason(asked.reason)
        if asked.issuer and asked.issuer not in self._pdp.issuers:
            raise BadRequestError("issuer: is not a configured issuer")
        return asked, _what(asked, int(self._pdp.decisions.clock.now()))


def _what(asked: RevokeBody, now: int) -> Revoke:
    values: tuple[tuple[RevocationKind, str | None], ...] = (
        ("subject", asked.subject),
        ("jti", asked.jti),
        ("session", asked.session),
    )
    named = [(kind, value) for kind, value in values if value is not None]
    if len(named) > 1 or (not named and asked.issued_before is None):
        raise BadRequestError("body: must name one of subject, jti and session, or issued_before")
    kind, value = named[0] if named else ("issued_before", "")
    if named and not 0 < len(value) <= _MAX_VALUE:
        raise BadRequestError(f"{kind}: must have 1 to {_MAX_VALUE} characters")
    if asked.issued_before is not None and (kind == "jti" or not 0 < asked.issued_before <= now + 1):
        raise BadRequestError("issued_before: must be seconds since 1970, not in the future, and not beside jti")
    if asked.expires_at is not None and kind != "jti":
        raise BadRequestError("expires_at: only of one token (jti)")
    return Revoke(kind, value, asked.issuer, asked.issued_before, asked.expires_at)


def _checked_reason(reason: str) -> str:
    if not 0 < len(reason) <= _MAX_REASON or not reason.isprintable():
        raise BadRequestError(f"reason: must be 1 to {_MAX_REASON} printable characters, and name nobody")
    return reason


def _shown(revocation: Revocation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": revocation.id,
        "kind": revocation.kind,
        "pseudonym": revocation.pseudonym,
        "issuer": revocation.issuer or None,
        "issued_before": None if revocation.before == FOREVER else revocation.before,
        "expires_at": revocation.expires_at,
        "at": revocation.at,
        "by": revocation.by,
        "reason": revocation.reason,
    }
    return {name: value for name, value in shown.items() if value is not None}


async def _to_the_end(doing: Any) -> Reply:
    """Whoever asked may go away meanwhile: what is durable then also holds, and is recorded."""
    reply: Reply = await asyncio.shield(asyncio.ensure_future(doing))
    return reply


def _json(document: Any) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode(document))
