"""Who may do what under one policy: every role, every scope of a service's token, and anyone, on every route.

Nothing is derived from the data here: each cell is the policy's own answer to real questions, one for each combination
of circumstances, so that any policy which keeps the contract can be looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from msgspec import UNSET, Struct

from authz.core import (
    ANONYMOUS,
    Action,
    Catalogue,
    Kind,
    Policy,
    ResourceDocument,
    Subject,
    check_document,
    kind_of,
    parameter_names,
    subject_document,
)
from authz.policy.access.grid import Dimension, Grid, Point, owner_dimensions

SUBJECT_ID: Final = "the-subject"
_OTHER_ID: Final = "somebody-else"
_PLAIN: Final = Point({}, {}, frozenset())


class Holder(NamedTuple):
    """Who asks: a subject with one role, a service with one scope in its token, or anyone at all."""

    kind: Literal["role", "token", "anyone"]
    name: str = ""

    def __str__(self) -> str:
        return {"role": self.name, "token": f"a token with {self.name}", "anyone": "anyone"}[self.kind]


class Request(NamedTuple):
    """What is asked for: a route by its template, or the use of a scope (`method` is then `use`)."""

    method: str
    path: str
    host: str | None = None
    kind: Literal["route", "scope"] = "route"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its path parameters."""
        return parameter_names(self.path) if self.kind == "route" else ()

    def __str__(self) -> str:
        return self.path if self.kind == "scope" else f"{self.method} {self.host or ''}{self.path}"


class Questions(Struct, frozen=True):
    """The rows, the columns and the circumstances of a table: the same for both sides of a comparison."""

    holders: tuple[Holder, ...]
    requests: tuple[Request, ...]
    common: tuple[Dimension, ...]

    def grid(self, request: Request) -> Grid:
        """The circumstances in which this request can be made."""
        return Grid((*owner_dimensions(request.parameters), *self.common))


def questions(catalogues: Sequence[Catalogue], common: tuple[Dimension, ...]) -> Questions:
    """Everything that any of the policies knows, in its order."""
    roles = dict.fromkeys(role for each in catalogues for role in each.roles)
    scopes = dict.fromkeys(scope for each in catalogues for scope in each.scopes)
    routes = dict.fromkeys(Request(r.method, r.path, r.host) for each in catalogues for r in each.routes)
    return Questions(
        holders=(Holder("anyone"), *(Holder("role", name) for name in roles), *(Holder("token", s) for s in scopes)),
        requests=(*(Request("use", scope, kind="scope") for scope in scopes), *routes),
        common=common,
    )


class Table(Struct, frozen=True):
    """The answers: for each holder and request the circumstances in which it passes, as bits of the request's grid.

    `undecided`: how many questions the policy could not answer; each counts as a denial.
    """

    revision: str
    cells: dict[tuple[Holder, Request], int]
    undecided: int = 0


async def tabulate(policy: Policy, asked: Questions) -> Table:
    """Put every question to the policy. Raises TooManyConditionsError."""
    cells: dict[tuple[Holder, Request], int] = {}
    undecided = 0
    for request in asked.requests:
        points = list(asked.grid(request).points())
        checks = list(_checks(policy, request, points, asked.holders))
        answers = await policy.evaluate_all(checks)
        undecided += sum(kind_of(answer.reason) is Kind.UNDECIDED for answer in answers)
        for at, holder in enumerate(asked.holders):
            own = answers[at * len(points) : (at + 1) * len(points)]
            cells[holder, request] = sum(answer.allow << bit for bit, answer in enumerate(own))
    return Table(policy.revision, cells, undecided)


def subject_of(holder: Holder, claims: dict[str, Any] | None = None) -> Subject:
    """A subject that is this holder and nothing else, with these verified claims."""
    properties = {"claims": claims} if claims else {}
    match holder.kind:
        case "anyone":
            return ANONYMOUS
        case "token":
            return Subject(
                type="service",
                id=SUBJECT_ID,
                source="token",
                pseudonym=None,
                scopes=(holder.name,),
                scope_mode="grant",
                properties=properties,
            )
        case "role":
            return Subject(
                type="user",
                id=SUBJECT_ID,
                source="token",
                pseudonym=None,
                roles=(holder.name,),
                properties=properties,
            )


def _checks(policy: Policy, request: Request, points: Sequence[Point], holders: Iterable[Holder]) -> Iterator[bytes]:
    action = Action(request.method)
    resources = [resource_of(policy, request, point) for point in points]
    for holder in holders:
        for point, resource in zip(points, resources, strict=True):
            yield check_document(subject_document(subject_of(holder, point.claims)), action, resource, point.context)


def resource_of(policy: Policy, request: Request, point: Point = _PLAIN) -> ResourceDocument:
    """The resource as the pipeline would make it from a concrete path: which route that is, this policy decides."""
    if request.kind == "scope":
        return ResourceDocument(type="scope", id=request.path)
    segments = tuple(
        segment if not segment.startswith("{") else _value(segment[1:-1].removesuffix("..."), point)
        for segment in request.path[1:].split("/")
    )
    match = policy.routes.match(request.method, segments, request.host)
    return ResourceDocument(
        type="route",
        id="/" + "/".join(segments),
        host=UNSET if request.host is None else request.host,
        route=UNSET if match is None else match.route.path,
        params=UNSET if match is None else match.params,
    )


def _value(parameter: str, point: Point) -> str:
    return SUBJECT_ID if parameter in point.own else _OTHER_ID
