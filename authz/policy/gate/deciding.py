"""The cases of a policy, put to the policy that its sources make, by one engine or by both."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from authz.bundle import Bundle, Opa
from authz.config import OpaSettings, Settings
from authz.core import AuthzError, Policy
from authz.engine import Counts, start_engine
from authz.examination import otherwise
from authz.policy.case_files import FiledCase
from authz.policy.errors import Problem
from authz.policy.gate.report import Part

Engines = Literal["embedded", "opa"]
_DEADLINE_SECONDS = 5.0


async def hold_to_cases(policy: Policy, cases: Sequence[FiledCase]) -> list[Problem]:
    """Put each case to a policy; those that it decides otherwise."""
    said = [(each, await otherwise(policy, each.case)) for each in cases]
    return [
        Problem(each.file, each.line, f"{each.case.name!r}: {policy.engine}: {wrong}") for each, wrong in said if wrong
    ]


async def decide_cases(
    policy: Policy, cases: Sequence[FiledCase], server: tuple[Opa, Bundle, Path] | None = None
) -> Part:
    """The part of the gate. `server`: ask an OPA server as well, with this program, bundle and directory."""
    problems = await hold_to_cases(policy, cases)
    engines = policy.engine
    if server is not None and cases:
        engines = f"{policy.engine} and opa"
        try:
            problems += await _by_server(*server, cases)
        except AuthzError as error:
            problems.append(Problem(".", 1, f"no OPA server could be asked: {error}"))
    if problems:
        wrong = {(each.path, each.line) for each in problems}
        said = f"{len(wrong)} of {len(cases)} are decided otherwise"
        fix = "mend the policy, or the case if the policy is right (`authz explain --case FILE:NAME` says why)"
        right = _names(each for each in cases if (each.file, each.line) not in wrong)
        return Part(name="cases", status="failed", said=said, problems=tuple(problems), fix=fix, passed=right)
    return Part(name="cases", status="ok", said=_counted(len(cases), engines), passed=_names(cases))


def _names(cases: Iterable[FiledCase]) -> tuple[str, ...]:
    return tuple(f"{each.file}: {each.case.name}" for each in cases)


def _counted(cases: int, engines: str) -> str:
    return f"{cases} decided as they say ({engines})" if cases else "none (cases/*.yaml, or --cases DIR)"


async def _by_server(opa: Opa, bundle: Bundle, room: Path, cases: Sequence[FiledCase]) -> list[Problem]:
    settings = Settings(engine="opa", opa=OpaSettings(program=str(opa.path), deadline_seconds=_DEADLINE_SECONDS))
    engine = await start_engine(settings, room, Counts())
    try:
        return await hold_to_cases(await engine.load(bundle), cases)
    finally:
        await engine.close()
