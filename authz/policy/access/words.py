"""Sets of circumstances in words: "on their own {id}, with acr gold, until 2026-12-31T23:59:59Z"."""

from functools import lru_cache
from itertools import product

from authz.policy.access.grid import Dimension, Grid

_Box = tuple[frozenset[int], ...]
"""For each dimension the values that are in it."""

ALWAYS = ""
"""What every circumstance is called."""


def in_words(grid: Grid, chosen: int) -> str:
    """When a request passes, if `chosen` are the points in which it does; empty for always.

    Raises ValueError when there is none: never is for the caller to say.
    """
    sizes = tuple(len(dimension.values) for dimension in grid.dimensions)
    if not chosen:
        raise ValueError("no circumstances")
    phrases = [_phrase(grid, box) for box in _cover(sizes, chosen)]
    return ALWAYS if ALWAYS in phrases else ", or ".join(phrases)


@lru_cache(4096)
def _cover(sizes: tuple[int, ...], chosen: int) -> tuple[_Box, ...]:
    """Boxes that together are exactly the chosen points, each as large as it can be."""
    boxes: list[_Box] = []
    remaining = chosen
    while remaining:
        lowest = (remaining & -remaining).bit_length() - 1
        box = _grown(sizes, chosen, _coordinates(sizes, lowest))
        remaining &= ~_bits(sizes, box)
        boxes.append(box)
    return tuple(boxes)


def _grown(sizes: tuple[int, ...], chosen: int, start: tuple[int, ...]) -> _Box:
    box = [frozenset({at}) for at in start]
    for dimension, size in enumerate(sizes):
        for value in range(size):
            wider = [*box[:dimension], box[dimension] | {value}, *box[dimension + 1 :]]
            if _bits(sizes, tuple(wider)) & ~chosen == 0:
                box = wider
    return tuple(box)


def _bits(sizes: tuple[int, ...], box: _Box) -> int:
    bits = 0
    for coordinates in product(*box):
        bits |= 1 << _position(sizes, coordinates)
    return bits


def _position(sizes: tuple[int, ...], coordinates: tuple[int, ...]) -> int:
    position = 0
    for size, at in zip(sizes, coordinates, strict=True):
        position = position * size + at
    return position


def _coordinates(sizes: tuple[int, ...], position: int) -> tuple[int, ...]:
    found = []
    for size in reversed(sizes):
        position, at = divmod(position, size)
        found.append(at)
    return tuple(reversed(found))


def _phrase(grid: Grid, box: _Box) -> str:
    said = [
        _condition(dimension, values)
        for dimension, values in zip(grid.dimensions, box, strict=True)
        if len(values) < len(dimension.values)
    ]
    return ", ".join(said)


def _condition(dimension: Dimension, chosen: frozenset[int]) -> str:
    names = [dimension.values[at].name for at in sorted(chosen)]
    match dimension.kind:
        case "own":
            whose = "their own" if chosen == {1} else "someone else's"
            return f"on {whose} {{{names[0]}}}"
        case "time":
            return _period(dimension, sorted(chosen))
        case "amr":
            return _shown("amr", _smallest(names))
        case "network":
            return " or ".join(f"from {name}" if name else "from elsewhere" for name in names)
        case _:
            return _shown(dimension.kind, names)


def _shown(claim: str, names: list[str]) -> str:
    stated = [name for name in names if name]
    without = f"without {claim}" if "" in names else ""
    with_any = f"with {claim} {' or '.join(stated)}" if stated else ""
    return " or ".join(filter(None, (with_any, without)))


def _smallest(names: list[str]) -> list[str]:
    """Whoever shows more than one of the others is let in by that one."""
    sets = [frozenset(filter(None, name.split("+"))) for name in names]
    return [name for name, own in zip(names, sets, strict=True) if not any(other < own for other in sets)]


def _period(dimension: Dimension, moments: list[int]) -> str:
    """Value 0 is now; value n begins the second after an end, by which it is called."""
    first, last = moments[0], moments[-1]
    if len(moments) != last - first + 1:
        return " or ".join(_period(dimension, [moment]) for moment in moments)
    until = f"until {dimension.values[last + 1].name}" if last + 1 < len(dimension.values) else ""
    since = f"after {dimension.values[first].name}" if first else ""
    return " ".join(filter(None, (since, until)))
