"""AuthZEN 1.0 search over HTTP (section 8)."""

from aiohttp import web

from authz.core import (
    SEARCH_PATHS,
    SEARCHES,
    DecisionPoint,
    Evaluation,
    Kind,
    Search,
    SearchFailedError,
    SearchKind,
    client_text,
    read_search,
    search,
    write_found,
)
from authz.gateways import Reply, RequestHead, provenance, refusal
from authz.http.answers import Answer, Route, read_body
from authz.http.asking import admitted, asked, parted
from authz.http.callers import Callers, KnownCaller
from authz.http.errors import CallerForbiddenError, NotFoundError
from authz.http.pages import PageTokens, Place


class SearchRoutes:
    """Subject, resource and action search, where the policy in force has candidates for it."""

    def __init__(self, decisions: DecisionPoint, callers: Callers, pages: PageTokens, most_candidates: int) -> None:
        self._decisions = decisions
        self._callers = callers
        self._pages = pages
        self._most_candidates = most_candidates
        self.routes: dict[str, Route] = {path: self._route(kind) for kind, path in SEARCH_PATHS.items()}

    def _route(self, kind: SearchKind) -> Route:
        async def answer(head: RequestHead, request: web.BaseRequest) -> Answer:
            return await self._search(kind, head, request)

        return answer

    async def _search(self, kind: SearchKind, head: RequestHead, request: web.BaseRequest) -> Answer:
        known, token, explain = admitted(self._callers, head, request, SEARCH_PATHS[kind])
        policy = self._decisions.policies.active
        sent = read_search(kind, await read_body(request))
        if SEARCHES[kind] not in policy.searches:
            raise NotFoundError(f"The policy offers no {kind} search: data.authz.candidates has no {SEARCHES[kind]}")
        _check_may(kind, known)
        place = self._pages.begin(sent, known.caller.name, policy.revision)
        most = self._most_candidates
        limit = most if place.limit is None else min(place.limit, most)
        evaluation = Evaluation(sent.subject, sent.action, sent.resource, sent.context)
        question = asked(evaluation, known, *parted(sent.subject, token), provenance(head.headers))
        try:
            found = await search(
                self._decisions, policy, kind, question, offset=place.offset, limit=limit, most_candidates=most
            )
        except SearchFailedError as error:
            return Answer(refusal(head, Kind.UNDECIDED.value, str(error), client_text(str(error))), asked=question)
        following = self._following(sent, known, policy.revision, place, found.next_offset)
        headers = {"Content-Type": "application/json", "X-Decision-Id": found.batch}
        return Answer(Reply(200, headers, write_found(found, token=following, explain=explain)), asked=question)

    def _following(
        self, sent: Search, known: KnownCaller, revision: str, place: Place, next_offset: int | None
    ) -> str | None:
        """The token of the next page: empty when this is the last, None where nobody speaks of pages."""
        if next_offset is None:
            return None if sent.page is None else ""
        return self._pages.issue(sent, known.caller.name, revision, Place(next_offset, place.limit))


def _check_may(kind: SearchKind, known: KnownCaller) -> None:
    """Subjects that are candidates have no token: to ask about them is to assert them."""
    if kind == "subject" and not known.caller.trusted_to_assert:
        raise CallerForbiddenError(
            f"The caller {known.caller.name} may not search subjects; see its `trusted_to_assert`"
        )
