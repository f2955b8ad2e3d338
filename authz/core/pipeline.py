"""decide(): from a question to a durable answer, in numbered steps."""

from collections.abc import Callable

import msgspec
from msgspec import UNSET, Struct

from authz.core.account import EVENT_TYPE_OF, account_of
from authz.core.contract import ResourceDocument, check_document, subject_document
from authz.core.errors import AuditUnavailableError, OverloadedError
from authz.core.events import Event
from authz.core.model import ANONYMOUS, AccessRequest, Decision, PolicyDecision, Subject, TokenRefusal
from authz.core.place import Place, locate
from authz.core.ports import Clock, Identities, Ledger, Meter, Policies, Pseudonyms, TokenVerifier
from authz.core.privacy import KEPT, Fields, identified
from authz.core.reasons import Kind, kind_of
from authz.core.subjects import asserted, with_stated_properties


class DecisionPoint(Struct, frozen=True, kw_only=True):
    """Decides. It holds no state of its own: everything it needs comes through its ports."""

    verifier: TokenVerifier
    pseudonyms: Pseudonyms
    policies: Policies
    ledger: Ledger
    meter: Meter
    clock: Clock
    new_id: Callable[[], str]
    fields: Fields = KEPT
    identities: Identities | None = None
    """None: `pseudonyms` is all it takes."""

    async def decide(self, request: AccessRequest, *, audit_as: str | None = None) -> Decision:
        """Answer one question. When this returns, the answer is recorded (see `Ledger.record`) or "could not decide".

        `audit_as` gives the record another type than the decision's own (`admin.access`).

        Raises BadRequestError when the question itself cannot be read; nothing is recorded then.
        """
        started = self.clock.elapsed()
        # 1. One policy revision answers the whole question.
        policy = self.policies.active
        # 2. Who: a verified token, a trusted caller's word, or nobody. The token goes no further.
        subject, refusal = await self._identify(request)
        # 3. Where: the route and its parameters, from the raw target.
        place = locate(request, subject, policy.routes)
        # 4. What the host itself refuses needs no policy.
        ruling = _ruled_out(request, subject, place)
        pseudonyms = self.pseudonyms
        if self.identities is not None:
            try:
                pseudonyms = await self.identities.disguise(identified(request, subject, place, policy.catalogue))
            except (AuditUnavailableError, OverloadedError) as error:
                # Whoever cannot be named safely is not recorded, and so gets no answer.
                ruling = PolicyDecision(allow=False, reason=error.code, scopes=())
            subject = _under(pseudonyms, subject)
        if ruling is None and self._late(request, started):
            # No allow is recorded that nobody waited for.
            ruling = PolicyDecision(allow=False, reason="overloaded", scopes=())
        if ruling is None:
            # 5. The policy's answer; undefined, malformed or failed is data too, and never an allow.
            ruling = await policy.evaluate(self._check(request, subject, place))
        # 6. Whoever is not identified gets a public route and nothing else.
        allow, reason = _concluded(ruling, refusal, place)
        decision = Decision(
            id=self.new_id(),
            allow=allow,
            reason=reason,
            revision=policy.revision,
            subject=subject,
            scopes=ruling.scopes,
            missing=() if allow else ruling.missing,
            granted_by=ruling.granted_by if allow else {},
            headers=ruling.headers if allow else {},
            route=place.route.path if place.route is not None else None,
        )
        # 7. Durable before anyone hears of it: what cannot be recorded does not leave the house.
        account = account_of(request, decision, policy, place, pseudonyms, refusal, self.fields)
        decision = await self._recorded(decision, Event(decision.id, audit_as or EVENT_TYPE_OF[decision.kind], account))
        # 8. Counted, whatever it was.
        self.meter.decided(request, decision, self.clock.elapsed() - started)
        return decision

    def _late(self, request: AccessRequest, started: float) -> bool:
        return request.within_seconds is not None and self.clock.elapsed() - started > request.within_seconds

    async def _identify(self, request: AccessRequest) -> tuple[Subject, TokenRefusal | None]:
        if request.token is not None:
            verified = await self.verifier.verify(request.token)
            if isinstance(verified, TokenRefusal):
                return ANONYMOUS, verified
            return with_stated_properties(verified, request), None
        if request.subject is not None and request.caller.trusted_to_assert:
            return asserted(request.subject, self.pseudonyms), None
        return ANONYMOUS, TokenRefusal("token_missing")

    def _check(self, request: AccessRequest, subject: Subject, place: Place) -> bytes:
        resource = ResourceDocument(
            type=request.resource.type,
            id=request.resource.id,
            host=UNSET if place.host is None else place.host,
            route=UNSET if place.route is None else place.route.path,
            params=UNSET if place.route is None else place.params,
            properties=request.resource.properties,
        )
        context = {**request.context, "now": int(self.clock.now())}
        if request.ip is not None:
            context["ip"] = request.ip
        return check_document(subject_document(subject), request.action, resource, context)

    async def _recorded(self, decision: Decision, event: Event) -> Decision:
        try:
            await self.ledger.record(event)
        except (AuditUnavailableError, OverloadedError) as error:
            return msgspec.structs.replace(
                decision, allow=False, reason=error.code, scopes=(), missing=(), granted_by={}, headers={}
            )
        return decision


def _under(pseudonyms: Pseudonyms, subject: Subject) -> Subject:
    return msgspec.structs.replace(subject, pseudonym=pseudonyms.pseudonym(subject.id)) if subject.id else subject


def _ruled_out(request: AccessRequest, subject: Subject, place: Place) -> PolicyDecision | None:
    """What no policy may overrule."""
    if place.ambiguous:
        return PolicyDecision(allow=False, reason="ambiguous_path", scopes=())
    stated = request.subject
    if subject.source == "token" and stated is not None and stated.id and stated.id != subject.id:
        return PolicyDecision(allow=False, reason="subject_mismatch", scopes=())
    return None


def _concluded(ruling: PolicyDecision, refusal: TokenRefusal | None, place: Place) -> tuple[bool, str]:
    """Allow or not, and the reason, once it is known who asks and where."""
    if refusal is not None:
        if ruling.reason == "public_route":
            return ruling.allow, ruling.reason
        if place.ambiguous or kind_of(ruling.reason) is Kind.UNDECIDED:
            return False, ruling.reason
        return False, refusal.reason
    if ruling.reason == "unmatched_route" and place.other_methods:
        return False, "method_not_allowed"
    return ruling.allow, ruling.reason
