"""Who puts the question: the enforcement point behind a connection, and what it may do."""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from authz.config import CallerSettings
from authz.core import BearerToken, Caller
from authz.gateways import bearer_token
from authz.http.errors import CallerForbiddenError, CallerUnauthenticatedError

CALLER_HEADER = "X-Authz-Caller-Token"
"""Where a caller known by a bearer secret shows it when `Authorization` carries the user's token."""

DEV_CALLERS = (
    CallerSettings(name="dev-loopback", via="loopback", trusted_to_assert=True, explain=True, bundle=True),
    CallerSettings(name="dev-unix", via="unix", trusted_to_assert=True, explain=True, bundle=True),
)


class KnownCaller:
    """A configured caller, ready to be compared with connections."""

    __slots__ = ("caller", "may_explain", "may_fetch_bundle", "routes", "via")

    def __init__(self, settings: CallerSettings) -> None:
        self.caller = Caller(
            settings.name,
            settings.trusted_to_assert,
            settings.observe,
            settings.trusted_hops,
            settings.sets_request_id,
            settings.token_cookie,
            settings.token_subprotocol,
        )
        self.may_explain = settings.explain
        self.may_fetch_bundle = settings.bundle
        self.routes = settings.routes
        self.via = settings.via

    def may_call(self, path: str) -> bool:
        """Whether its configuration names the path, or names none."""
        return not self.routes or any(path == route or path.startswith(f"{route}/") for route in self.routes)


class Callers:
    """Finds the caller of a request. A secret that is shown decides; else the connection does."""

    def __init__(self, settings: Sequence[CallerSettings]) -> None:
        known = [KnownCaller(each) for each in settings]
        self._by_digest = {
            each.token_sha256: caller for each, caller in zip(settings, known, strict=True) if each.token_sha256
        }
        self._loopback = next((each for each in known if each.via == "loopback"), None)
        self._unix = next((each for each in known if each.via == "unix"), None)

    def identify(self, request: web.BaseRequest, path: str) -> tuple[KnownCaller, BearerToken | None]:
        """The caller, and the user's token if `Authorization` carries one rather than the caller's own secret.

        Raises CallerUnauthenticatedError or CallerForbiddenError.
        """
        token = bearer_token(request.headers)
        known = self._by_secret(request.headers.get(CALLER_HEADER))
        if known is None and token is not None and (known := self._by_secret(token.reveal())) is not None:
            token = None
        if known is None:
            known = self._by_connection(request)
        return _permitted(known, path), token

    def identify_peer(self, host: str | None, secret: str | None, path: str) -> KnownCaller:
        """The caller behind a connection from `host`, None for a Unix socket, that showed a secret or none.

        Raises CallerUnauthenticatedError or CallerForbiddenError.
        """
        known = self._by_secret(secret) or (self._unix if host is None else None)
        if known is None and host is not None and is_loopback(host):
            known = self._loopback
        return _permitted(known, path)

    def _by_secret(self, secret: str | None) -> KnownCaller | None:
        if not secret or not self._by_digest:
            return None
        # Comparing digests leaks nothing of the secret through timing.
        return self._by_digest.get(hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest())

    def _by_connection(self, request: web.BaseRequest) -> KnownCaller | None:
        if self._loopback is None and self._unix is None:
            return None
        peer = request.protocol.peername
        if isinstance(peer, tuple):
            return self._loopback if is_loopback(peer[0]) else None
        # None: the connection was reset before anyone asked whose it is. That may have been anybody.
        return None if peer is None else self._unix


def _permitted(known: KnownCaller | None, path: str) -> KnownCaller:
    if known is None:
        raise CallerUnauthenticatedError("No configured caller fits this connection; see [[callers]]")
    if not known.may_call(path):
        raise CallerForbiddenError(f"The caller {known.caller.name} may not call {path}; see its routes")
    return known


def is_loopback(host: str) -> bool:
    """Whether a peer's address is this machine's own loopback."""
    return host == "127.0.0.1" or _address(host).is_loopback


def peer_address(request: web.BaseRequest) -> str | None:
    """The address at the other end of the connection, an IPv4 one written as such; None where there is none."""
    peer = request.protocol.peername
    return str(_address(peer[0])) if isinstance(peer, tuple) else None


def _address(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
