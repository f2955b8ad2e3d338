"""The promised functions: judge a source, gate a pipeline, check the ledger."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from authz.audit import LedgerUnreadableError, verify_audit_integrity
from authz.slos import synthetic
from authz.slos.errors import NotEnoughData, SloSourceError, SloViolation
from authz.slos.fetch import get
from authz.slos.judge import MIN_EVENTS, Judgement, Measured, Verdict, judge, violated
from authz.slos.objectives import Objective, objectives
from authz.slos.prometheus import Prometheus, is_prometheus
from authz.slos.report import as_dict
from authz.slos.sidecar import Sidecars, measured, read

SOURCE: Final = "AUTHZ_SLO_SOURCE"
TOKEN_FILE: Final = "AUTHZ_SLO_TOKEN_FILE"  # noqa: S105 - the name of a variable
STATE: Final = "AUTHZ_STATE"
REQUESTS: Final = "AUTHZ_SLO_REQUESTS"


class Source(Protocol):
    """Knows what happened."""

    def measure(self, objectives: Sequence[Objective]) -> dict[str, Measured]:
        """What happened, by objective. Raises SloSourceError."""
        ...


def run_slo_tests(source: str | None = None) -> dict[str, Any]:
    """Judge every objective.

    `source`: the URL of a sidecar's admin listener or of a Prometheus server, else AUTHZ_SLO_SOURCE, else a synthetic
    run of AUTHZ_SLO_REQUESTS (2,000) requests. AUTHZ_SLO_TOKEN_FILE: a token to show there. With one that has
    `admin:audit:read`, or with AUTHZ_STATE, the ledger itself is verified too.

    Returns `overall_pass` (True, False, or None for too little data), `critical_failures`, `success_rate` and
    `results`. Raises SloSourceError when the source cannot be asked: that is neither yes nor no.
    """
    return as_dict(judged(source))


def assert_slos_in_ci(min_success_rate: float = 0.8, source: str | None = None) -> None:
    """Return if no objective that pages is violated and enough of all judged ones are met.

    Raises SloViolation with what is violated, NotEnoughData where too little happened to judge every one that pages,
    SloSourceError when the source cannot be asked.
    """
    judgement = judged(source)
    rate = judgement.success_rate
    if judgement.critical_failures or (rate is not None and rate < min_success_rate):
        raise SloViolation("; ".join(map(_said, (v for v in judgement.verdicts if v.state == "violated"))))
    unknown = [verdict for verdict in judgement.verdicts if verdict.critical and verdict.state == "not enough data"]
    if unknown:
        raise NotEnoughData("; ".join(map(_said, unknown)))


def check_audit_integrity(source: str | None = None) -> bool:
    """Whether the ledger is whole: read from end to end, by the sidecar of `source` or from the directory AUTHZ_STATE.

    `source` is as for `run_slo_tests`; with neither, a synthetic run's ledger is what is verified. Raises NotEnoughData
    when there is nothing to verify, or no right to.
    """
    where = source or os.environ.get(SOURCE)
    found = _ledger(where, _token())
    if found is None and where is None:
        verdict = next(v for v in synthetic.run(objectives(), _requests()).verdicts if v.objective == "audit-integrity")
        return verdict.state == "met"
    if found is None:
        raise NotEnoughData(
            f"{where}: the ledger cannot be verified from there: {TOKEN_FILE} has to name a file with a token that has "
            f"admin:audit:read, or {STATE} the state directory"
        )
    return found[0]


def judged(source: str | None = None) -> Judgement:
    """As `run_slo_tests`, for those who want the verdicts themselves."""
    where = source or os.environ.get(SOURCE)
    if not where:
        return synthetic.run(objectives(), _requests())
    token = _token()
    found = open_source([where], token=token)
    return with_ledger(judge_all(found), _ledger(where, token))


def open_source(
    urls: Sequence[str], *, token: str | None = None, seconds: float = 0.0, window: str | None = None
) -> Source:
    """The source at these URLs: one Prometheus server, or the admin listeners of one or several sidecars."""
    if len(urls) == 1 and not urls[0].startswith("unix:") and is_prometheus(urls[0], token):
        return Prometheus(urls[0], window=window, token=token)
    return Sidecars(urls, token=token, seconds=seconds)


def judge_all(source: Source, *, min_events: int = MIN_EVENTS) -> Judgement:
    """Judge every objective by one source."""
    found = source.measure(objectives())
    return Judgement(tuple(judge(each, found[each.name], min_events=min_events) for each in objectives()))


def judge_text(metrics: str, *, min_events: int = MIN_EVENTS) -> Judgement:
    """Judge every objective by the text of one scrape: everything since that sidecar's start."""
    wanted = frozenset[str]().union(*(each.metrics for each in objectives()))
    found = measured(objectives(), {}, {("", *key): value for key, value in read(metrics, wanted)})
    return Judgement(tuple(judge(each, found[each.name], min_events=min_events) for each in objectives()))


def with_ledger(judgement: Judgement, found: tuple[bool, str] | None) -> Judgement:
    """The judgement, after the ledger itself was verified: `found` says whether it is whole, and what is not."""
    if found is None or found[0]:
        return judgement
    verdicts = (violated(v, found[1]) if v.objective == "audit-integrity" else v for v in judgement.verdicts)
    return Judgement(tuple(verdicts))


def _ledger(where: str | None, token: str | None) -> tuple[bool, str] | None:
    """Whether the ledger is whole and what is not; None where it cannot be looked at."""
    state = os.environ.get(STATE)
    if state:
        try:
            whole, issues = verify_audit_integrity(Path(state))
        except LedgerUnreadableError:
            return None
        return whole, "; ".join(issue.message for issue in issues)
    if where is None or token is None:
        return None
    status, body = get(where, "/v1/audit/integrity", token)
    if status != 200:
        return None
    answer = msgspec.json.decode(body, type=dict[str, Any])
    return answer["valid"] is True, "; ".join(str(issue["message"]) for issue in answer["issues"])


def _requests() -> int:
    """How many requests a synthetic run makes here."""
    stated = os.environ.get(REQUESTS, str(synthetic.REQUESTS))
    if not stated.isdecimal() or int(stated) < 1:
        raise SloSourceError(f"{REQUESTS}: must be a whole number from 1")
    return int(stated)


def _token() -> str | None:
    file = os.environ.get(TOKEN_FILE)
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SloSourceError(f"{TOKEN_FILE}: cannot be read: {error}") from None


def _said(verdict: Verdict) -> str:
    share = "nothing happened" if verdict.share is None else f"{verdict.share:.3%} of {verdict.total:g}"
    note = f" ({verdict.note})" if verdict.note else ""
    return f"{verdict.title}: {verdict.state}: {share}, promised {verdict.target:.3%}{note}"
