"""Which client an address stands for."""

from ipaddress import AddressValueError, IPv6Address


def client_of(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, which is what one client is given (RFC 6177); anything else as it is.

    An IPv4 address in IPv6's clothes (RFC 4291 section 2.5.5.2) is the IPv4 address.
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0].strip("[]"))
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
