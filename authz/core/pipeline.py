"""decide() and decide_all(): from a question, or many, to durable answers, in numbered steps."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, Struct

from authz.core.account import EVENT_TYPE_OF, account_of
from authz.core.accounts import Accounts
from authz.core.batch import Answered, Asked, Batch, Common, Countdown, Question, Until
from authz.core.conclusion import (
    LATE,
    concluded_all,
    decided_of,
    decision_of,
    limited,
    ruled_out,
    turned_away,
    under,
    unrecorded,
)
from authz.core.contract import SUPERSEDED, ResourceDocument, check_document, subject_document
from authz.core.errors import AuditUnavailableError, AuthzError, BadRequestError, OverloadedError
from authz.core.events import Event
from authz.core.model import ANONYMOUS, AccessRequest, Decision, Over, PolicyDecision, Subject, TokenRefusal
from authz.core.place import Place, locate
from authz.core.ports import Clock, Identities, Ledger, Limiter, Meter, Policies, Policy, Pseudonyms, TokenVerifier
from authz.core.privacy import KEPT, Fields, identified
from authz.core.subjects import asserted, with_stated_properties
from authz.core.together import Answer, Ready, Turns


class DecisionPoint(Struct, frozen=True, kw_only=True):
    """Decides. It holds no state of its own: everything it needs comes through its ports."""

    verifier: TokenVerifier
    pseudonyms: Pseudonyms
    policies: Policies
    ledger: Ledger
    limiter: Limiter
    meter: Meter
    clock: Clock
    new_id: Callable[[], str]
    fields: Fields = KEPT
    identities: Identities | None = None
    """None: `pseudonyms` is all it takes."""
    turns: Turns | None = None
    """None: each question is answered by itself."""

    async def decide(
        self, request: AccessRequest, *, audit_as: str | None = None, since: float | None = None
    ) -> Decision:
        """Answer one question. When this returns, the answer is recorded (see `Ledger.record`) or "could not decide".

        `audit_as` gives the record another type than the decision's own (`admin.access`). `since`: when it was asked
        for the first time, of a question that is asked once more.

        Raises BadRequestError when the question itself cannot be read; nothing is recorded then.
        """
        started = self.clock.elapsed() if since is None else since
        # 1. One policy revision answers the whole question.
        policy = self.policies.active
        # 2. Who: a verified token, a trusted caller's word, or nobody. The token goes no further.
        #    Whose address has asked too often is not even asked for it.
        over = self.limiter.admit(request) if since is None else None
        subject, refusal = await self._identify(request) if over is None else (ANONYMOUS, None)
        # 3. Where: the route and its parameters, from the raw target.
        place = locate(request, subject, policy.routes)
        # 4. What the host itself refuses needs no policy.
        ruling = ruled_out(request, subject, place) if over is None else turned_away(over)
        pseudonyms = self.pseudonyms
        if self.identities is not None:
            try:
                pseudonyms = await self.identities.disguise(identified(request, subject, place, policy.catalogue))
            except (AuditUnavailableError, OverloadedError) as error:
                # Whoever cannot be named safely is not recorded, and so gets no answer.
                ruling = PolicyDecision(allow=False, reason=error.code, scopes=())
            subject = under(pseudonyms, subject)
        if ruling is None and self._late(request, started):
            # No allow is recorded that nobody waited for.
            ruling = LATE
        if ruling is None:
            # 5. The policy's answer; undefined, malformed or failed is data too, and never an allow.
            check = self._check(request, subject_document(subject), place)
            if self.turns is None or audit_as is not None:
                ruling = await policy.evaluate(check)
            else:
                # 5-8 for all who ask at the same time, unless there is more to do for this one.
                ready = Ready(request, subject, refusal, place, pseudonyms, check, started)
                answer = await self.turns.share(policy, ready, self._answer_together)
                if isinstance(answer, Decision):
                    return answer
                ruling = answer
        if ruling is SUPERSEDED and since is None:
            # The engine speaks for another revision by now: where the question points is that one's to say.
            return await self.decide(request, audit_as=audit_as, since=started)
        # 6. Whoever is not identified gets a public route and nothing else.
        decision = decision_of(self.new_id(), ruling, policy, subject, refusal, place, over)
        #    What the policy allows only so often is counted now.
        if decision.limits:
            decision = await self._spent(request, decision, started)
        # 7. Durable before anyone hears of it: what cannot be recorded does not leave the house.
        account = account_of(request, decision, policy, place, pseudonyms, refusal, self.fields)
        decision = await self._recorded(decision, Event(decision.id, audit_as or EVENT_TYPE_OF[decision.kind], account))
        # 8. Counted, whatever it was.
        self.meter.decided(request, decision, self.clock.elapsed() - started)
        return decision

    async def _answer_together(self, policy: Policy, asked: Sequence[Ready]) -> Sequence[Answer]:
        """Steps 5 to 8 for questions of one turn: one evaluation, one commit. Nobody sees another's answer or error.

        Those that have a budget to spend, or cannot be recorded as one, go on by themselves with their rulings.
        """
        rulings = await policy.evaluate_all([each.check for each in asked])
        alone = {n for n, ruling in enumerate(rulings) if ruling is SUPERSEDED or ruling.limits}
        together = {
            n: decision_of(self.new_id(), ruling, policy, each.subject, each.refusal, each.place)
            for n, (each, ruling) in enumerate(zip(asked, rulings, strict=True))
            if n not in alone
        }
        events = [
            Event(
                decision.id,
                EVENT_TYPE_OF[decision.kind],
                account_of(each.request, decision, policy, each.place, each.pseudonyms, each.refusal, self.fields),
            )
            for each, decision in ((asked[n], decision) for n, decision in together.items())
        ]
        try:
            failure = await self._failure(events)
        except AuthzError:
            return rulings
        if failure == OverloadedError.code and len(asked) > 1:
            return rulings  # there may be room for some
        now = self.clock.elapsed()
        answers: list[Answer] = list(rulings)
        for n, decision in together.items():
            answer = answers[n] = decision if failure is None else unrecorded(decision, failure)
            self.meter.decided(asked[n].request, answer, now - asked[n].started)
        return answers

    async def decide_all(
        self,
        asked: Sequence[Asked],
        *,
        until: Until | None = None,
        since: float | None = None,
        policy: Policy | None = None,
        spends: bool = True,
    ) -> Batch:
        """Answer many questions as one: one revision, one evaluation, one commit to the ledger, one count.

        Each is answered as `decide` would, on its own: no item sees another's answer or error. When this returns, all
        the answers are recorded or all of them are "could not decide". A question that cannot be read is answered by
        its BadRequestError, and not recorded. `policy`: the one in force, unless the caller began with another.
        `spends`: False where nobody acts on an allow, as in a search.
        """
        started = self.clock.elapsed() if since is None else since
        # 1. One policy revision answers all of it.
        policy, batch = policy or self.policies.active, self.new_id()
        # 2-4. Who, where, and what the host itself refuses, of each; what they share is done once.
        common = Common(self._identify)
        first = next((each for each in asked if isinstance(each, AccessRequest)), None)
        over = self.limiter.admit(first) if first is not None and since is None else None
        questions = [await self._question(n, each, common, policy, started, over) for n, each in enumerate(asked)]
        # 5. One evaluation of all that are left.
        rulings = await policy.evaluate_all(
            [
                self._check(each.request, each.document, each.place)
                for each in questions
                if isinstance(each, Question) and each.ruling is None
            ]
        )
        if since is None and any(ruling is SUPERSEDED for ruling in rulings):
            return await self.decide_all(asked, until=until, since=started, spends=spends)
        # 6. The conclusions, up to where the batch stops: what comes after was never answered.
        concluded = concluded_all(batch, questions, rulings, policy)
        answers = await self._spent_all(questions, concluded, until, started if spends else None)
        # 7. Durable in one commit before anyone hears of any of it.
        accounts = Accounts(batch, policy, self.fields)
        events = [accounts.event(question, decision) for question, decision in decided_of(questions, answers)]
        answers = await self._recorded_all(answers, events)
        # 8. Counted, each of them.
        counted = [(question.request, decision) for question, decision in decided_of(questions, answers)]
        self.meter.decided_all(counted, self.clock.elapsed() - started)
        return Batch(batch, answers)

    async def input_of(self, request: AccessRequest, policy: Policy) -> bytes:
        """The input document of a question that is not decided. Raises BadRequestError."""
        subject, _ = await self._identify(request)
        return self._check(request, subject_document(subject), locate(request, subject, policy.routes))

    async def _question(
        self, position: int, asked: Asked, common: Common, policy: Policy, started: float, over: Over | None
    ) -> Question | BadRequestError:
        if isinstance(asked, BadRequestError):
            return asked
        try:
            known = common.known(asked) if over is None else (ANONYMOUS, None)
            subject, refusal = known or await common.identify(asked)
            place = locate(asked, subject, policy.routes)
        except BadRequestError as error:
            return error
        ruling = ruled_out(asked, subject, place) if over is None else turned_away(over)
        document, pseudonyms = common.document(subject), self.pseudonyms
        if self.identities is not None:
            try:
                pseudonyms = await self.identities.disguise(identified(asked, subject, place, policy.catalogue))
            except (AuditUnavailableError, OverloadedError) as error:
                ruling = PolicyDecision(allow=False, reason=error.code, scopes=())
            subject = under(pseudonyms, subject)
        if ruling is None and self._late(asked, started):
            ruling = LATE
        return Question(position, asked, subject, refusal, place, ruling, document, pseudonyms, over)

    async def _spent(
        self, request: AccessRequest, decision: Decision, started: float, position: int | None = None
    ) -> Decision:
        """The allow, if there is budget for it."""
        over = await self.limiter.spend(request, decision.subject, decision.limits, position)
        if over is not None:
            return limited(decision, over)
        return unrecorded(decision, LATE.reason) if self._late(request, started) else decision

    async def _spent_all(
        self,
        questions: Sequence[Question | BadRequestError],
        answers: Sequence[Answered],
        until: Until | None,
        started: float | None,
    ) -> list[Answered]:
        """The answers in turn, up to where the batch stops: nothing is spent for what is never answered.

        `started`: None where nothing is spent at all.
        """
        countdown, given = Countdown(until), list[Answered]()
        for question, concluded in zip(questions, answers, strict=True):
            answer = concluded
            if (
                started is not None
                and isinstance(answer, Decision)
                and answer.limits
                and isinstance(question, Question)
            ):
                answer = await self._spent(question.request, answer, started, question.position)
            given.append(answer)
            if countdown.ends_with(answer):
                break
        return given

    async def _recorded_all(self, answers: list[Answered], events: Sequence[Event]) -> list[Answered]:
        failure = await self._failure(events)
        if failure is None:
            return answers
        return [unrecorded(each, failure) if isinstance(each, Decision) else each for each in answers]

    async def _failure(self, events: Sequence[Event]) -> str | None:
        """Make the events durable; or the reason why none of them may be taken for recorded."""
        try:
            await self.ledger.record_all(events)
        except (AuditUnavailableError, OverloadedError) as error:
            return error.code
        return None

    def _late(self, request: AccessRequest, started: float) -> bool:
        return request.within_seconds is not None and self.clock.elapsed() - started > request.within_seconds

    async def _identify(self, request: AccessRequest) -> tuple[Subject, TokenRefusal | None]:
        if request.token is not None:
            verified = await self.verifier.verify(request.token)
            if isinstance(verified, TokenRefusal):
                return ANONYMOUS, verified
            return with_stated_properties(verified, request), None
        if request.subject is not None and request.caller.trusted_to_assert:
            stated = asserted(request.subject, self.pseudonyms)
            return (ANONYMOUS, TokenRefusal("token_revoked")) if self.verifier.is_revoked(stated.id) else (stated, None)
        return ANONYMOUS, TokenRefusal("token_missing")

    def _check(self, request: AccessRequest, subject: msgspec.Raw, place: Place) -> bytes:
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
        return check_document(subject, request.action, resource, context)

    async def _recorded(self, decision: Decision, event: Event) -> Decision:
        try:
            await self.ledger.record(event)
        except (AuditUnavailableError, OverloadedError) as error:
            return unrecorded(decision, error.code)
        return decision
