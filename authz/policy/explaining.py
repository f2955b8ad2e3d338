"""Cases, explained by a policy: why it decides as it does, whether or not the case says so."""

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from authz.core import AuthzError, Kind, explained_input, kind_of
from authz.examination import otherwise, placed
from authz.policy.case_files import FOLDER, FiledCase, filed_cases
from authz.policy.opened import Opened


class NoSuchCaseError(AuthzError):
    """There is no such file of cases, or no case of that name in it."""

    code = "no_such_case"


class ExplainedCase(Struct, frozen=True):
    """One case. `otherwise`: what the policy decides otherwise than it says, None when it decides so."""

    file: str
    line: int
    name: str
    decision: str
    reason: str
    revision: str
    otherwise: str | None
    why: tuple[str, ...]


def named_cases(named: str) -> list[FiledCase]:
    """The cases of `FILE`, or the one of `FILE:NAME`. Raises NoSuchCaseError, BuildError."""
    file, name = _split(named)
    found = [each for each in filed_cases([file]) if name in (None, each.case.name)]
    if not found:
        there = ", ".join(repr(each.case.name) for each in filed_cases([file]))
        raise NoSuchCaseError(f"{file}: there is no case {name!r}; there are {there}")
    return found


def policy_beside(named: str) -> Path | None:
    """The sources that a file of cases lies in, if it does: `SOURCE/cases/FILE`."""
    folder = _split(named)[0].absolute().parent
    source = folder.parent
    rego = (each for pattern in ("*.rego", "authz/**/*.rego") for each in source.glob(pattern))
    return source if folder.name == FOLDER and any(rego) else None


async def explain_cases(one: Opened, cases: Iterable[FiledCase]) -> list[ExplainedCase]:
    """Why a policy decides each case as it does."""
    return [await _explained(one, each) for each in cases]


async def _explained(one: Opened, filed: FiledCase) -> ExplainedCase:
    case = filed.case
    decision, why = await explained_input(placed(case.input, one.policy.routes), one.policy)
    undecided = kind_of(decision.reason) is Kind.UNDECIDED
    return ExplainedCase(
        file=filed.file,
        line=filed.line,
        name=case.name,
        decision="error" if undecided else "allow" if decision.allow else "deny",
        reason=decision.reason,
        revision=one.policy.revision,
        otherwise=await otherwise(one.policy, case),
        why=why,
    )


def _split(named: str) -> tuple[Path, str | None]:
    """Either of them may hold a colon: the shortest beginning that is a file."""
    ends = [at for at, character in enumerate(named) if character == ":"]
    for end in (*ends, len(named)):
        if Path(named[:end]).is_file():
            return Path(named[:end]), named[end + 1 :] or None
    raise NoSuchCaseError(f"{named}: there is no such file of cases (FILE, or FILE:NAME)")
