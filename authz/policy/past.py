"""Decisions of the past, explained by the policy that made them."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from authz.bundle import Bundle, BundleError
from authz.core import AuthzError, BadRequestError, explained_record
from authz.engine import EmbeddedPolicy, PolicyRefusedError

_DEADLINE_SECONDS: Final = 1.0


class NotADecisionError(AuthzError):
    """The event is no decision of the policy, so that there is nothing to explain."""

    code = "not_a_decision"


class Explained(Struct, frozen=True):
    """Why a recorded decision came out as it did. `why`: in sentences, the last of which name what would change it."""

    id: str
    ts: str
    decision: str
    reason: str
    revision: str
    why: tuple[str, ...]


async def explain_event(event: Mapping[str, Any], bundle_of: Callable[[str], Bundle]) -> Explained:
    """Explain one event of the ledger. `bundle_of`: the bundle of a revision; BadRequestError where it is gone.

    Raises NotADecisionError.
    """
    if event.get("decision") not in ("allow", "deny", "error") or not event.get("revision"):
        raise NotADecisionError(f"{event.get('id')}: {event.get('type')} is not a decision of the policy")
    policy = await asyncio.to_thread(_loaded, event["revision"], bundle_of)
    try:
        why = await explained_record(event, policy, datetime.fromisoformat(event["ts"]).timestamp())
    finally:
        if policy is not None:
            policy.close()
    return Explained(event["id"], event["ts"], event["decision"], event["reason"], event["revision"], why)


def _loaded(revision: str, bundle_of: Callable[[str], Bundle]) -> EmbeddedPolicy | None:
    try:
        found = bundle_of(revision)
        return EmbeddedPolicy.load(found.wasm, found.data_json, found.revision, deadline_seconds=_DEADLINE_SECONDS)
    except (BadRequestError, BundleError, PolicyRefusedError):
        return None
