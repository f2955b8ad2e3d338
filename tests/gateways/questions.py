"""What the tests of dialects ask with: heads, decisions, and questions that can be compared."""

from typing import Any

from multidict import CIMultiDict

from authz.core import ANONYMOUS, AccessRequest, Action, Caller, Decision, Entity, Subject
from authz.gateways import RequestHead

CALLER = Caller("gateway")
ALICE = Subject(type="user", id="alice", source="token", pseudonym="h1:k:x", roles=("user_basic", "carer"))
TRACE = "0af7651916cd43dd8448eb211c80319c"
IDENTITY = {"X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes"}


def head(*fields: tuple[str, str], method: str = "GET", target: str = "/memory/42") -> RequestHead:
    """The head of a request."""
    return RequestHead(method, target, CIMultiDict(fields))


def decision(reason: str, *, allow: bool = False, **members: Any) -> Decision:
    """A decision, about nobody unless said otherwise."""
    stated: dict[str, Any] = {"subject": ANONYMOUS, "revision": "0123456789abcdef", "id": "id-1"}
    return Decision(allow=allow, reason=reason, **stated | members)


def question(dialect: str, method: str, target: str, host: str, **members: Any) -> dict[str, Any]:
    """The members of a question without a token."""
    return members_of(
        AccessRequest(
            caller=CALLER,
            dialect=dialect,
            action=Action(method),
            resource=Entity("route", target),
            host=host,
            **members,
        )
    )


def members_of(request: AccessRequest) -> dict[str, Any]:
    """The members of a question, the token as its text: a token cannot be compared."""
    members: dict[str, Any] = {name: getattr(request, name) for name in request.__struct_fields__}
    return {**members, "token": request.token.reveal() if request.token else None}
