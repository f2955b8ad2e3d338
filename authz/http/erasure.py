"""`POST /v1/audit/erase`: erase a person on this node. Her id travels in the body, never in a URL."""

import msgspec
from msgspec import Struct

from authz.core import BadRequestError
from authz.gateways import Reply
from authz.pdp import Pdp


class Erase(Struct, frozen=True, forbid_unknown_fields=True):
    """The body. `reference`: a case number for the receipt; it must not name her."""

    subject: str
    reference: str | None = None
    dry_run: bool = False


class ErasureRoute:
    """Does what the body says; the answer counts rows and records and names nobody."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp

    async def erase(self, body: bytes, who: str) -> Reply:
        """Raises BadRequestError, which never repeats what was sent, and AuditUnavailableError."""
        try:
            asked = msgspec.json.decode(body, type=Erase)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadRequestError("body: must be {subject, reference?, dry_run?} and nothing else") from None
        done = await self._pdp.erase(asked.subject, asked.reference, who, dry_run=asked.dry_run)
        return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode(done.document()))
