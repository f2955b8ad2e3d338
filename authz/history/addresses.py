"""Addresses, as far as a policy's networks can tell them apart."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from authz.history.folding import Addresses

_Network = IPv4Network | IPv6Network


def standing_for(networks: tuple[str, ...]) -> Addresses | None:
    """Which address stands for all that lie in the same of these networks; None where there are no networks.

    None for an address that was not recorded, is sealed, or was made so coarse that it may be in or out of one.
    """
    if not networks:
        return None
    known = [ip_network(each, strict=False) for each in networks]
    standing: dict[tuple[bool, ...], str] = {}

    @lru_cache(1 << 16)
    def stands(text: str | None) -> str | None:
        recorded = _read(text)
        if recorded is None or any(_is_part_of(network, recorded) for network in known):
            return None
        return standing.setdefault(tuple(_is_in(recorded, network) for network in known), str(recorded.network_address))

    return stands


def _read(text: str | None) -> _Network | None:
    try:
        return ip_network(text, strict=False) if text else None
    except ValueError:
        return None


def _is_in(inner: _Network, outer: _Network) -> bool:
    return inner.version == outer.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _is_part_of(network: _Network, recorded: _Network) -> bool:
    return network.prefixlen > recorded.prefixlen and _is_in(network, recorded)
