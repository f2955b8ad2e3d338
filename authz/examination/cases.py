"""Golden cases: decisions that a policy has to give before it is put in force, in its own bundle."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from authz.bundle import CASES, Bundle, BundleError
from authz.core import Policy
from authz.examination.errors import CasesError
from authz.examination.placing import placed

_SHOWN: Final = 10


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """One case: the question as the policy gets it, and the answer that is right.

    A resource of type `route` may leave out `route` and `params`: they are found as for any request. What is left
    out of the answer may be anything.
    """

    name: str
    input: dict[str, Any]
    allow: bool
    reason: str | None = None
    scopes: tuple[str, ...] | None = None
    missing: tuple[str, ...] | None = None
    granted_by: dict[str, tuple[str, ...]] | None = None


class _Cases(Struct, frozen=True, forbid_unknown_fields=True):
    cases: tuple[Case, ...]


def cases_in(found: Bundle) -> tuple[Case, ...]:
    """The cases in a bundle, none if there are none. Raises BundleError: they cannot be read."""
    document = found.members.get(CASES)
    return () if document is None else read_cases(document)


def read_cases(document: bytes) -> tuple[Case, ...]:
    """The cases in a JSON document, `{"cases": [...]}`. Raises BundleError."""
    try:
        return msgspec.json.decode(document, type=_Cases).cases
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"the bundle's {CASES}: {error}") from None


async def hold_to(policy: Policy, cases: Sequence[Case]) -> None:
    """Put each case to a policy. Raises CasesError, naming those that it decides otherwise."""
    wrong = [f"case {each.name!r}: {said}" for each in cases if (said := await otherwise(policy, each)) is not None]
    if wrong:
        more = f"\nand {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CasesError("\n".join(wrong[:_SHOWN]) + more)


async def otherwise(policy: Policy, case: Case) -> str | None:
    """What a policy decides otherwise than a case says, in words; None when it decides so."""
    decision = await policy.evaluate(msgspec.json.encode(placed(case.input, policy.routes)))
    got = f"{'allow' if decision.allow else 'deny'} ({decision.reason})"
    wanted = f"{'allow' if case.allow else 'deny'}{f' ({case.reason})' if case.reason else ''}"
    if decision.allow != case.allow or (case.reason is not None and decision.reason != case.reason):
        return f"{got}, not {wanted}"
    for name in ("scopes", "missing", "granted_by"):
        stated, found = getattr(case, name), getattr(decision, name)
        if stated is not None and stated != found:
            return f"{name} {msgspec.to_builtins(found)}, not {msgspec.to_builtins(stated)}"
    return None
