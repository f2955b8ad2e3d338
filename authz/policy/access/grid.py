"""The circumstances in which one request can be made, as far as a policy's data makes a difference between them.

Time (roles that end), authentication (`require.acr`, `require.amr`), the client's network (`require.cidr`), and whose
resource it is. Each is a dimension; a set of circumstances is an integer with one bit for each point of their product.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import chain, product
from math import prod
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

MOST_POINTS: Final = 4096
"""More circumstances than this for one request are too many to try one by one."""

_Network = IPv4Network | IPv6Network


class TooManyConditionsError(Exception):
    """The conditions in the data have too many combinations to try each."""


class Conditions(Struct, frozen=True):
    """What the data of one policy, or of several, make depend on circumstances."""

    acr: frozenset[str] = frozenset()
    amr: frozenset[tuple[str, ...]] = frozenset()
    networks: frozenset[str] = frozenset()
    ends: frozenset[int] = frozenset()

    def __or__(self, other: "Conditions") -> "Conditions":
        return Conditions(
            self.acr | other.acr, self.amr | other.amr, self.networks | other.networks, self.ends | other.ends
        )


class _Require(Struct, frozen=True):
    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()
    cidr: tuple[str, ...] = ()


class _Scope(Struct, frozen=True):
    require: _Require = _Require()


class _Role(Struct, frozen=True):
    until: int | None = None


class _Tables(Struct, frozen=True):
    scopes: dict[str, _Scope] = {}
    roles: dict[str, _Role] = {}


class _Data(Struct, frozen=True):
    authz: _Tables = _Tables()


def conditions_of(data: bytes) -> Conditions:
    """The conditions in a bundle's data document; none where its tables are not the default policy's."""
    try:
        tables = msgspec.json.decode(data, type=_Data).authz
    except msgspec.ValidationError:
        return Conditions()
    required = [scope.require for scope in tables.scopes.values()]
    return Conditions(
        acr=frozenset(chain.from_iterable(each.acr for each in required)),
        amr=frozenset(tuple(sorted(set(each.amr))) for each in required if each.amr),
        networks=frozenset(chain.from_iterable(each.cidr for each in required)),
        ends=frozenset(role.until for role in tables.roles.values() if role.until is not None),
    )


class Value(NamedTuple):
    """One value of a dimension: what it adds to claims and context, and how it is called."""

    name: str
    claims: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    context: dict[str, Any] = {}  # noqa: RUF012
    own: str | None = None
    """The path parameter that is the subject's own ID."""


class Dimension(NamedTuple):
    """One thing that a decision may depend on. `values[0]` is the plainest: nothing shown, today, a stranger's."""

    kind: str
    values: tuple[Value, ...]


def common_dimensions(conditions: Conditions, now: int) -> tuple[Dimension, ...]:
    """What every request may depend on; `now` is today, in seconds since the epoch."""
    found = (_acr(conditions.acr), _amr(conditions.amr), _network(conditions.networks), _time(conditions.ends, now))
    return tuple(dimension for dimension in found if len(dimension.values) > 1 or dimension.kind == "time")


def owner_dimensions(parameters: Sequence[str]) -> tuple[Dimension, ...]:
    """For each parameter of a path: whether it is the subject's own ID."""
    return tuple(Dimension("own", (Value(name), Value(name, own=name))) for name in parameters)


def _acr(levels: Iterable[str]) -> Dimension:
    stated = tuple(Value(level, claims={"acr": level}) for level in sorted(levels))
    return Dimension("acr", (Value(""), *stated))


def _amr(required: Iterable[tuple[str, ...]]) -> Dimension:
    """Nothing, each set that is asked for, and all of them together."""
    sets = sorted(required)
    everything = tuple(sorted(set(chain.from_iterable(sets))))
    shown = dict.fromkeys((*sets, everything) if sets else ())
    return Dimension("amr", (Value(""), *(Value("+".join(each), claims={"amr": list(each)}) for each in shown)))


def _network(blocks: Iterable[str]) -> Dimension:
    """No address, and an address of each network that is in no smaller one of them."""
    networks = sorted({ip_network(block, strict=False) for block in blocks}, key=str)
    values = []
    for network in networks:
        address = _address_of_its_own(network, networks)
        if address is not None:
            values.append(Value(str(network), context={"ip": address}))
    return Dimension("network", (Value(""), *values))


def _address_of_its_own(network: _Network, networks: Sequence[_Network]) -> str | None:
    inner = [n for n in networks if n != network and n.version == network.version and _within(n, network)]
    free: list[_Network] = [network]
    for each in inner:
        free = [part for whole in free for part in _without(whole, each)]
    return str(free[0].network_address) if free else None


def _within(inner: _Network, outer: _Network) -> bool:
    return inner.prefixlen > outer.prefixlen and inner.network_address in outer


def _without(whole: _Network, hole: _Network) -> Iterator[_Network]:
    if whole == hole or _within(whole, hole):
        return
    if hole.network_address in whole:
        yield from whole.address_exclude(hole)  # type: ignore[arg-type]  # both are of one version here
    else:
        yield whole


def _time(ends: Iterable[int], now: int) -> Dimension:
    """Now, and the second after each end that is still to come."""
    moments = (now, *(end + 1 for end in sorted(ends) if end >= now))
    return Dimension("time", tuple(Value(_moment(moment), context={"now": moment}) for moment in moments))


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds - 1, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds - 1)


class Point(NamedTuple):
    """One combination of circumstances."""

    claims: dict[str, Any]
    context: dict[str, Any]
    own: frozenset[str]


class Grid(Struct, frozen=True):
    """Every combination of the dimensions' values, in a fixed order."""

    dimensions: tuple[Dimension, ...]

    @property
    def size(self) -> int:
        """How many points there are."""
        return prod(len(dimension.values) for dimension in self.dimensions)

    def points(self) -> Iterator[Point]:
        """Every combination. Raises TooManyConditionsError."""
        if self.size > MOST_POINTS:
            raise TooManyConditionsError(
                f"{self.size} combinations of conditions for one request, more than {MOST_POINTS}"
            )
        for values in product(*(dimension.values for dimension in self.dimensions)):
            yield Point(
                claims={claim: shown for value in values for claim, shown in value.claims.items()},
                context={name: stated for value in values for name, stated in value.context.items()},
                own=frozenset(value.own for value in values if value.own is not None),
            )
