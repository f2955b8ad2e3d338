"""Tokens for the next page of a search: opaque to whoever holds them, and good for that very search only."""

import base64
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from authz.core import BadRequestError, Page, Search

LIFETIME_SECONDS: Final = 3600
_MAC_BYTES: Final = 16


class Place(NamedTuple):
    """Where a search goes on: after so many candidates, in pages of `limit`."""

    offset: int
    limit: int | None


class _Token(NamedTuple):
    offset: int
    limit: int | None
    expires: int
    revision: str
    asked: bytes


class PageTokens:
    """Makes and reads them. They hold no more than a place; whoever shows one is identified and answered anew.

    `key`: the same in every replica that shall take another's tokens.
    """

    def __init__(self, key: bytes, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now

    def begin(self, search: Search, caller: str, revision: str) -> Place:
        """Where a search begins: at its start, or where its token says.

        Raises BadRequestError when the token is not ours, too old, for another search, or of another policy revision.
        """
        page = search.page or Page()
        if not page.token:
            return Place(0, page.limit)
        token = self._read(page.token)
        if token.expires < self._now():
            raise BadRequestError("page.token: expired; search again from the start")
        if not hmac.compare_digest(token.asked, self._digest(search, caller)):
            raise BadRequestError("page.token: belongs to another search; repeat the first request with it")
        if page.limit is not None and page.limit != token.limit:
            raise BadRequestError("page.limit: differs from the first request's; leave it out or repeat it")
        if token.revision != revision:
            raise BadRequestError("page.token: the policy has changed since; search again from the start")
        return Place(token.offset, token.limit)

    def issue(self, search: Search, caller: str, revision: str, place: Place) -> str:
        """The token of the next page."""
        expires = int(self._now()) + LIFETIME_SECONDS
        token = msgspec.msgpack.encode(
            _Token(place.offset, place.limit, expires, revision, self._digest(search, caller))
        )
        return base64.urlsafe_b64encode(self._mac(b"page\0" + token) + token).rstrip(b"=").decode()

    def _read(self, text: str) -> _Token:
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        mac, token = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(b"page\0" + token)):
            raise BadRequestError("page.token: not a token of this service; search again from the start")
        return msgspec.msgpack.decode(token, type=_Token)

    def _digest(self, search: Search, caller: str) -> bytes:
        """What must not change from page to page: all that was asked but the user's token, which may be a fresh one."""
        subject = {name: value for name, value in search.subject.properties.items() if name != "token"}
        asked = (
            caller,
            search.kind,
            (search.subject.type, search.subject.id, subject),
            search.action,
            search.resource,
            search.context,
            search.page.properties or {} if search.page else {},
        )
        return self._mac(b"asked\0" + msgspec.json.encode(asked, order="sorted"))

    def _mac(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")[:_MAC_BYTES]
