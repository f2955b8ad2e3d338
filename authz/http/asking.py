"""From AuthZEN entities to a question: who is asked about, with which token, and what the caller may be told."""

from typing import Any

from aiohttp import web

from authz.core import AccessRequest, BadRequestError, BearerToken, Entity, Evaluation, Fields, shortened
from authz.gateways import Provenance, RequestHead
from authz.http.answers import only_post
from authz.http.callers import Callers, KnownCaller
from authz.http.errors import CallerForbiddenError


def admitted(
    callers: Callers, head: RequestHead, request: web.BaseRequest, path: str
) -> tuple[KnownCaller, BearerToken | None, bool]:
    """Who asks, the user's token, and whether an explanation is wanted and may be had.

    Raises MethodNotSupportedError, CallerUnauthenticatedError or CallerForbiddenError.
    """
    only_post(head)
    known, token = callers.identify(request, path)
    return known, token, wants_explanation(head, known)


def asked(
    sent: Evaluation, known: KnownCaller, subject: Entity, token: BearerToken | None, whence: Provenance
) -> AccessRequest:
    """The question in an evaluation; `subject` and `token` are its own, `parted`."""
    return AccessRequest(
        caller=known.caller,
        dialect="authzen",
        subject=subject,
        action=sent.action,
        resource=sent.resource,
        context=sent.context,
        token=token,
        **whence,
    )


def parted(sent: Entity, token: BearerToken | None) -> tuple[Entity, BearerToken | None]:
    """The subject without a token in its properties, and the token. Raises BadRequestError."""
    stated = sent.properties.get("token")
    if stated is None:
        return sent, token
    if not isinstance(stated, str):
        raise BadRequestError("subject.properties.token: must be a string")
    if token is not None and token.reveal() != stated:
        raise BadRequestError("subject.properties.token: differs from the token in Authorization; send one")
    properties = {name: value for name, value in sent.properties.items() if name != "token"}
    return Entity(sent.type, sent.id, properties), BearerToken(stated)


def wants_explanation(head: RequestHead, known: KnownCaller) -> bool:
    """Whether the query says `explain=true`. Raises CallerForbiddenError when the caller may not."""
    query = head.target.partition("?")[2]
    if "explain=true" not in query.split("&"):
        return False
    if not known.may_explain:
        raise CallerForbiddenError(f"The caller {known.caller.name} may not ask for explanations; see its `explain`")
    return True


def written(whence: Provenance, fields: Fields) -> dict[str, Any]:
    """Where a request comes from, as it may be written down in a record that is no decision's."""
    told = {
        "ip": fields.ip(whence.get("ip")),
        "user_agent": fields.user_agent(whence.get("user_agent")),
        "request_id": shortened(whence.get("request_id")),
        "trace_id": whence.get("trace_id"),
    }
    return {name: value for name, value in told.items() if value is not None}
