"""A synthetic run: a sidecar of its own is started, driven with mixed traffic, judged, and ended."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from authz.audit import verify_audit_integrity
from authz.identity import mint_token
from authz.slos.errors import SloSourceError
from authz.slos.judge import MIN_EVENTS, Judgement, judge, violated
from authz.slos.objectives import Objective
from authz.slos.sidecar import Sidecars
from authz.slos.traffic import ROLES, Driven, drive

REQUESTS: Final = 2_000
"""How many requests a run makes unless told otherwise: a couple of seconds."""

_END_SECONDS: Final = 30.0


class Started(NamedTuple):
    """A running sidecar in development mode."""

    decision: str
    admin: str
    state: Path


def run(objectives: Sequence[Objective], requests: int = REQUESTS, *, min_events: int = MIN_EVENTS) -> Judgement:
    """Judge the objectives on a run of so many requests. An answer that is not the right one violates `auth-success`.

    The ledger is verified from end to end once the sidecar has ended. Raises SloSourceError when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="authz-slo-") as place:
        state = Path(place) / "state"
        with started(state) as sidecar:
            driven = drive(sidecar.decision, {role: mint_token(state, role, [role]) for role in ROLES}, requests)
            found = Sidecars([sidecar.admin]).measure(objectives)
        intact, issues = verify_audit_integrity(state)
    verdicts = [judge(each, found[each.name], min_events=min_events) for each in objectives]
    amiss = {"auth-success": _amiss(driven, found["errors-4xx"].total if "errors-4xx" in found else None)}
    if not intact:
        amiss["audit-integrity"] = "; ".join(issue.message for issue in issues)
    return Judgement(tuple(violated(v, note) if (note := amiss.get(v.objective)) else v for v in verdicts))


@contextmanager
def started(state: Path, *arguments: str) -> Iterator[Started]:
    """A sidecar in development mode on free ports, ended in order."""
    command = [sys.executable, "-P", "-m", "authz", "serve", "--dev", "--state", str(state), *arguments]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    errors = state.with_name("stderr")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHZ_")}
    with (
        errors.open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment) as process,  # noqa: S603 - ours
    ):
        try:
            line = process.stdout.readline() if process.stdout is not None else b""
            if not line:
                raise SloSourceError(f"the sidecar did not start: {errors.read_text(errors='replace')[-2000:]}")
            places = msgspec.json.decode(line, type=dict[str, dict[str, str]])["listening"]
            yield Started(places["decision"], places["admin"], state)
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _amiss(driven: Driven, counted: float | None) -> str:
    """What is wrong with the answers, or with how many there were; empty if nothing is."""
    if driven.wrong:
        return f"wrong answers: {'; '.join(driven.wrong)}"
    if counted is not None and counted != driven.requests:
        return f"{driven.requests} requests were answered and {counted:g} counted"
    return ""
