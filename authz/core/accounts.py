"""The accounts of a batch: what its records have in common is encoded once."""

from typing import Any, NamedTuple

import msgspec

from authz.core.account import EVENT_TYPE_OF, Own, Told, account_of, own_of, told_of
from authz.core.batch import Question
from authz.core.events import DecisionBody, Encoded, Event
from authz.core.model import Decision
from authz.core.ports import Policy
from authz.core.privacy import Fields

_encode = msgspec.json.Encoder().encode
_EMPTY = b"{}"


class _Shared(NamedTuple):
    """The account of one item without what is its own, the same as JSON, and as JSON that goes on."""

    granted_by: dict[str, tuple[str, ...]]
    body: DecisionBody
    text: bytes
    open: bytes


class Accounts:
    """Makes the events of one batch's decisions, and lives no longer than that."""

    def __init__(self, batch: str, policy: Policy, fields: Fields) -> None:
        self._batch = batch
        self._policy = policy
        self._fields = fields
        self._told: dict[tuple[Any, ...], Told] = {}
        self._shared: dict[tuple[Any, ...], _Shared] = {}

    def event(self, question: Question, decision: Decision) -> Event:
        """The event of one decision."""
        own = own_of(question.request, self._policy, question.place, question.pseudonyms, self._fields)
        told = self._told_of(question)
        shared = self._shared_of(question, decision, told)
        own_text = _encode(own)
        text = shared.text if own_text == _EMPTY else shared.open + own_text[1:]
        return Event(decision.id, EVENT_TYPE_OF[decision.kind], Encoded(shared.body, text))

    def _told_of(self, question: Question) -> Told:
        request = question.request
        # The very same objects: equal ones are not looked for.
        key = (
            id(request.context),
            id(question.subject),
            request.ip,
            request.user_agent,
            request.session_id,
            request.request_id,
        )
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = told_of(request, question.subject, question.pseudonyms, self._fields)
        return told

    def _shared_of(self, question: Question, decision: Decision, told: Told) -> _Shared:
        request = question.request
        key = (
            id(told),
            id(question.subject),
            id(question.place.route),
            id(request.caller),
            id(question.refusal),
            question.place.host,
            decision.reason,
            decision.allow,
            decision.scopes,
            decision.missing,
            decision.over,
            request.action.name,
            request.dialect,
            request.channel,
            request.trace_id,
        )
        shared = self._shared.get(key)
        if shared is None or shared.granted_by != decision.granted_by:
            body = account_of(
                request,
                decision,
                self._policy,
                question.place,
                question.pseudonyms,
                question.refusal,
                self._fields,
                told,
                self._batch,
                Own(),
            )
            text = _encode(body)
            shared = self._shared[key] = _Shared(decision.granted_by, body, text, text[:-1] + b",")
        return shared
