"""From a profile to the questions that it may have been: one, where nothing that matters is missing in records."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from authz.core import (
    ANONYMOUS,
    Action,
    Policy,
    ResourceDocument,
    RouteTable,
    ScopeMode,
    Subject,
    check_document,
    subject_document,
)
from authz.history.profile import SELF, UNKNOWN, Ownership, Profile
from authz.history.reads import Reads

SUBJECT_ID: Final = "the-subject"
_OTHER_ID: Final = "somebody-else"
_EITHER: Final = "{?}"
"""In a pattern: a segment of which it is not known whether it is the subject's own ID."""
_MOST_QUESTIONS: Final = 256
_MODES: Final[tuple[ScopeMode, ...]] = ("restrict", "grant", "ignore")


Known = Callable[[str], RouteTable | None]
"""The routes of a revision that records were made under; None where there is no bundle of it."""


class CannotTellError(Exception):
    """What was asked is not known well enough to ask it again. The text says what is missing."""


class _Where(NamedTuple):
    """A place that a request may point at under the policy: `params` by the subject's own ID or somebody else's."""

    route: str | None
    params: tuple[tuple[str, str], ...] = ()


class Asking:
    """Makes the questions of profiles for one policy."""

    def __init__(self, policy: Policy, reads: Reads, known: Known) -> None:
        self._policy = policy
        self._reads = reads
        self._known = known
        self._templates = [route.path[1:].split("/") for route in policy.routes.routes]
        self._places = lru_cache(1 << 14)(self._places_of)

    def questions(self, profile: Profile, first: str, last: str) -> list[bytes]:
        """Every question that it may have been, given what is known. Raises CannotTellError.

        `first`, `last`: between which times, as recorded.
        """
        resources = list(self._resources(profile))
        subjects = list(self._subjects(profile))
        contexts = list(self._contexts(profile, first, last))
        if len(resources) * len(subjects) * len(contexts) > _MOST_QUESTIONS:
            raise CannotTellError("too much of it is not recorded")
        action = Action(profile.action or "")
        documents = [subject_document(each) for each in subjects]
        return [check_document(s, action, r, c) for s, r, c in product(documents, resources, contexts)]

    def _subjects(self, profile: Profile) -> Iterator[Subject]:
        if profile.subject_source not in ("token", "asserted"):
            yield ANONYMOUS
            return
        claims: dict[str, Any] = {}
        if profile.acr is not None:
            claims["acr"] = profile.acr
        if profile.amr is not None:
            claims["amr"] = list(profile.amr)
        modes = _MODES if profile.scope_mode is None and self._reads.scope_mode else (profile.scope_mode or "restrict",)
        for mode in modes:
            yield Subject(
                type=profile.subject_type or "",
                id="" if profile.nameless else SUBJECT_ID,
                source="token",
                pseudonym=None,
                roles=profile.roles,
                scopes=profile.token_scopes,
                scope_mode=mode,  # type: ignore[arg-type]  # it was one of them when it was recorded
                issuer=profile.issuer,
                properties={"claims": claims} if claims else {},
            )

    def _contexts(self, profile: Profile, first: str, last: str) -> Iterator[dict[str, Any]]:
        begin, end = seconds(first), seconds(last)
        between = [each + after for each in self._reads.moments if begin <= each < end for after in (0, 1)]
        moments = list(dict.fromkeys((begin, *between, end))) if self._reads.moments else [begin]
        for moment in moments:
            if profile.address is not None:
                yield {"now": moment, "ip": profile.address}
                continue
            yield {"now": moment}
            for network in self._reads.networks:
                yield {"now": moment, "ip": network.partition("/")[0]}

    def _resources(self, profile: Profile) -> Iterator[ResourceDocument]:
        if profile.resource is not None:
            kind, name = profile.resource
            if name is None:
                raise CannotTellError("the ID of what was asked for is recorded as a pseudonym")
            yield ResourceDocument(type=kind, id=name)
            return
        host = UNSET if profile.host is None else profile.host
        if not profile.route and not profile.path:
            raise CannotTellError("what was asked for is not recorded")
        asked = (profile.action or "", profile.host, profile.route, profile.path, profile.params, profile.revision)
        for where in self._places(*asked):
            yield ResourceDocument(
                type="route",
                id="/",
                host=host,
                route=UNSET if where.route is None else where.route,
                params=UNSET if where.route is None else dict(where.params),
            )

    def _places_of(
        self,
        method: str,
        host: str | None,
        route: str | None,
        path: str | None,
        params: tuple[tuple[str, Ownership], ...],
        revision: str,
    ) -> list[_Where]:
        patterns = [(path or "")[1:].split("/") if route is None else _route_pattern(route, dict(params))]
        if route is not None and route.endswith("...}"):
            patterns += [[*patterns[0], *[UNKNOWN] * more] for more in (1, 2, 3)]
        found = {where for pattern in patterns for where in self._readings(method, host, route, pattern, revision)}
        if not found:
            raise CannotTellError("the policy that it was recorded under would not have taken it there")
        return sorted(found, key=lambda where: (where.route or "", where.params))

    def _readings(
        self, method: str, host: str | None, route: str | None, pattern: Sequence[str], revision: str
    ) -> Iterator[_Where]:
        """Where paths of this pattern point, but for those that pointed elsewhere when it was recorded."""
        choices = [self._choices(pattern, at) for at in range(len(pattern))]
        if prod(map(len, choices)) > _MOST_QUESTIONS:
            raise CannotTellError("too much of its path is not recorded")
        known = self._known(revision)
        for segments in product(*choices):
            before = known.match(method, segments, host) if known is not None else None
            if known is not None and (before.route.path if before is not None else None) != route:
                continue
            match = self._policy.routes.match(method, segments, host)
            yield _Where(None) if match is None else _Where(match.route.path, _owners(match.params))

    def _choices(self, pattern: Sequence[str], at: int) -> tuple[str, ...]:
        """What may have stood there: any word that a route has at that place of a path like this, or none of them."""
        segment = pattern[at]
        if segment == SELF:
            return (SUBJECT_ID,)
        if segment not in (UNKNOWN, _EITHER):
            return (segment,)
        words = sorted({each[at] for each in self._templates if at < len(each) and _fits(each, pattern)})
        spelt = [word for word in words if word[:1] != "{"]
        return (*((SUBJECT_ID,) if segment == _EITHER else ()), _OTHER_ID, *spelt)


def _fits(template: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path of this pattern may match the template."""
    if len(template) != len(pattern) and not template[-1].endswith("...}"):
        return False
    return len(template) <= len(pattern) and all(
        word[:1] == "{" or segment in (UNKNOWN, _EITHER, word) for word, segment in zip(template, pattern, strict=False)
    )


def _owners(params: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value if value == SUBJECT_ID else _OTHER_ID) for name, value in sorted(params.items()))


def _route_pattern(route: str, owned: dict[str, Ownership]) -> list[str]:
    marks = {"own": SELF, "other": UNKNOWN, "unknown": _EITHER}
    return [
        marks[owned.get(segment[1:-1].removesuffix("..."), "unknown")] if segment[:1] == "{" else segment
        for segment in route[1:].split("/")
    ]


def seconds(ts: str) -> int:
    """Seconds since the epoch of a recorded time."""
    return int(datetime.fromisoformat(ts).timestamp())
