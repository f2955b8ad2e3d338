"""From the evaluations of a stream to questions: who puts them, about whom, with which token."""

import msgspec

from authz.core import AccessRequest, Asked, BadRequestError, BearerToken, Caller, Entity, Evaluation
from authz.gateways import Provenance
from authz.http.asking import parted


class Asker:
    """What the handshake told of every question of the stream.

    `token`: of the user that a question is about when it brings none itself. `whence`: with a request id in it.
    """

    def __init__(self, caller: Caller, token: BearerToken | None, whence: Provenance) -> None:
        # One request id for all of them says nothing of retries: each spends its budget.
        self.caller = msgspec.structs.replace(caller, sets_request_id=False)
        self.whence = whence
        self._token = token

    def asked(self, sent: Evaluation) -> AccessRequest:
        """The question in an evaluation. Raises BadRequestError."""
        return self._question(sent, *self._parted(sent.subject))

    def all_asked(self, items: list[Evaluation | BadRequestError]) -> list[Asked]:
        """The questions of a batch; a subject that several share stays one object, and is verified once."""
        parts: dict[int, tuple[Entity, BearerToken | None]] = {}
        return [each if isinstance(each, BadRequestError) else self._item(each, parts) for each in items]

    def _item(self, sent: Evaluation, parts: dict[int, tuple[Entity, BearerToken | None]]) -> Asked:
        known = parts.get(id(sent.subject))
        if known is None:
            try:
                known = parts[id(sent.subject)] = self._parted(sent.subject)
            except BadRequestError as error:
                return error
        return self._question(sent, *known)

    def _parted(self, sent: Entity) -> tuple[Entity, BearerToken | None]:
        """The subject and its token; its own one comes before the handshake's, which may have ended by now."""
        subject, token = parted(sent, None)
        return subject, self._token if token is None else token

    def _question(self, sent: Evaluation, subject: Entity, token: BearerToken | None) -> AccessRequest:
        return AccessRequest(
            caller=self.caller,
            dialect="authzen",
            channel="ws",
            subject=subject,
            action=sent.action,
            resource=sent.resource,
            context=sent.context,
            token=token,
            **self.whence,
        )
