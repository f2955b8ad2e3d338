"""Search (AuthZEN 1.0 section 8): the policy proposes, and each proposal is decided like any other question."""

from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from authz.core.authzen import bounded, decoded
from authz.core.batch import Batch, Until
from authz.core.contract import Candidate
from authz.core.errors import AuthzError
from authz.core.model import AccessRequest, Action, Decision, Entity
from authz.core.pipeline import DecisionPoint
from authz.core.ports import Policy
from authz.core.reasons import Kind

SearchKind = Literal["subject", "resource", "action"]

SEARCH_PATHS: Final[dict[SearchKind, str]] = {
    "subject": "/access/v1/search/subject",
    "resource": "/access/v1/search/resource",
    "action": "/access/v1/search/action",
}
"""The default paths of section 10.1."""

SEARCHES: Final[dict[SearchKind, str]] = {"subject": "subjects", "resource": "resources", "action": "actions"}
"""What is searched -> its key in `data.authz.candidates`."""


class Page(Struct, frozen=True):
    """The request's `page` (section 8.2.1). Unknown members are ignored."""

    token: str | None = None
    limit: Annotated[int, Meta(ge=0)] | None = None
    properties: dict[str, Any] | None = None


class Search(Struct, frozen=True):
    """A search as it was sent. What is searched has no ID, and an action that is searched no name."""

    kind: SearchKind
    subject: Entity
    action: Action
    resource: Entity
    context: dict[str, Any]
    page: Page | None


class _Known(Struct):
    type: str
    id: str
    properties: dict[str, Any] | None = None


class _Sought(Struct):
    """What is searched: an ID sent with it is ignored (sections 8.4, 8.5)."""

    type: str
    properties: dict[str, Any] | None = None


class _Action(Struct):
    name: str
    properties: dict[str, Any] | None = None


class _SubjectSearch(Struct):
    subject: _Sought
    action: _Action
    resource: _Known
    context: dict[str, Any] | None = None
    page: Page | None = None


class _ResourceSearch(Struct):
    subject: _Known
    action: _Action
    resource: _Sought
    context: dict[str, Any] | None = None
    page: Page | None = None


class _ActionSearch(Struct):
    subject: _Known
    resource: _Known
    context: dict[str, Any] | None = None
    page: Page | None = None


_decode_subject = msgspec.json.Decoder(_SubjectSearch).decode
_decode_resource = msgspec.json.Decoder(_ResourceSearch).decode
_decode_action = msgspec.json.Decoder(_ActionSearch).decode


def read_search(kind: SearchKind, body: bytes) -> Search:
    """Read the body of a search. Unknown members are ignored; null means absent. Raises BadRequestError."""
    sent: _SubjectSearch | _ResourceSearch | _ActionSearch
    if kind == "subject":
        sent = decoded(_decode_subject, body)
    elif kind == "resource":
        sent = decoded(_decode_resource, body)
    else:
        sent = decoded(_decode_action, body)
    action = Action("") if isinstance(sent, _ActionSearch) else _action(sent.action)
    if sent.page is not None:
        bounded(sent.page.properties, "page.properties")
    subject, resource = _entity(sent.subject, "subject"), _entity(sent.resource, "resource")
    return Search(kind, subject, action, resource, bounded(sent.context, "context"), sent.page)


def _entity(sent: _Known | _Sought, name: str) -> Entity:
    return Entity(
        sent.type, sent.id if isinstance(sent, _Known) else "", bounded(sent.properties, f"{name}.properties")
    )


def _action(sent: _Action) -> Action:
    return Action(sent.name, bounded(sent.properties, "action.properties"))


class SearchFailedError(AuthzError):
    """What the policy proposed cannot be read, or not all of it could be decided. The message is the reason's code."""

    code = "policy_error"


class Found(NamedTuple):
    """What a search found from `offset` on. `next_offset`: where the rest begins; None when there is none.

    `batch`: the id under which the decisions are recorded.
    """

    batch: str
    revision: str
    results: list[Candidate]
    next_offset: int | None


async def search(
    decisions: DecisionPoint,
    policy: Policy,
    kind: SearchKind,
    asked: AccessRequest,
    *,
    offset: int,
    limit: int,
    most_candidates: int,
) -> Found:
    """Decide on at most so many of the policy's candidates, from `offset` on, until `limit` of them are allowed.

    They are one batch: each is asked with the search's full input, context and stated properties included, and is
    recorded and counted as a decision of its own, on the channel `search`.

    Raises BadRequestError; SearchFailedError when candidates could not be had or decided: a search with a silent hole
    would be taken for a complete one.
    """
    proposed = await policy.candidates(await decisions.input_of(asked, policy))
    found = getattr(proposed, SEARCHES[kind]) if proposed is not None else None
    if found is None:
        raise SearchFailedError("policy_error")
    wanted = {"subject": asked.subject.type if asked.subject else "", "resource": asked.resource.type, "action": ""}
    fitting = [each for each in dict.fromkeys(found) if _fits(kind, each, wanted[kind])]
    window = fitting[offset : offset + most_candidates]
    questions = [_with(kind, asked, each) for each in window] if limit else []
    batch = await decisions.decide_all(questions, until=Until(allow=True, times=limit), policy=policy, spends=False)
    _check_complete(batch)
    allowed = [window[n] for n, each in enumerate(batch.answers) if isinstance(each, Decision) and each.allow]
    end = offset + len(batch.answers)
    return Found(batch.id, policy.revision, allowed, end if end < len(fitting) else None)


def _fits(kind: SearchKind, candidate: Candidate, wanted: str) -> bool:
    return bool(candidate.name) if kind == "action" else candidate.type == wanted


def _with(kind: SearchKind, asked: AccessRequest, candidate: Candidate) -> AccessRequest:
    """The question about one candidate. What the search states of it beside its ID stays."""
    replace = msgspec.structs.replace
    if kind == "action":
        return replace(asked, action=Action(candidate.name), channel="search")
    if kind == "resource":
        resource = Entity(candidate.type, candidate.id, asked.resource.properties)
        return replace(asked, resource=resource, channel="search")
    properties = asked.subject.properties if asked.subject is not None else {}
    return replace(asked, subject=Entity(candidate.type, candidate.id, properties), channel="search")


def _check_complete(batch: Batch) -> None:
    for answer in batch.answers:
        if not isinstance(answer, Decision):
            raise answer
        if answer.kind is Kind.UNDECIDED:
            raise SearchFailedError(answer.reason)


def write_found(found: Found, *, token: str | None, explain: bool = False) -> bytes:
    """The body of a search response, `page` first (section 8.3). `token`: None leaves `page` out."""
    document: dict[str, Any] = {}
    if token is not None:
        document["page"] = {"next_token": token, "count": len(found.results)}
    if explain:
        document["context"] = {"id": found.batch, "revision": found.revision}
    document["results"] = [
        {"name": each.name} if each.name else {"type": each.type, "id": each.id} for each in found.results
    ]
    return msgspec.json.encode(document)
