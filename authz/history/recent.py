"""The newest decisions of a ledger, put to the policy that is to be put in force next.

Each counts as the policy in force decides it: what an earlier revision recorded is asked again of that one first, so
that a flip which somebody accepted at the last change does not count at the next.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from authz.audit import newest_records
from authz.bundle import Bundle
from authz.engine import EmbeddedPolicy
from authz.history.addresses import standing_for
from authz.history.folding import Fold, Tally, is_decided
from authz.history.judging import Judge, Judged
from authz.history.known import routes_known
from authz.history.profile import Profile
from authz.history.reads import Reads, ReadsUnrecordedError
from authz.history.replaying import Replay, Replaying, cuts
from authz.history.stated import stated_reads
from authz.metrics import METHODS, OTHER

_DEADLINE_SECONDS: Final = 1.0
_NOTHING: Final = Reads((), (), scope_mode=False)


class Recent(Struct, frozen=True):
    """What came of it. `left_out`: decisions of earlier revisions that the policy in force cannot be asked again."""

    replay: Replay
    left_out: int


def replay_recent(state: Path, most: int, active: Bundle, candidate: Bundle) -> Recent:
    """Put the newest decisions, at most so many, to `candidate`.

    Places are told in words of the policy, not of callers. Raises ReadsUnrecordedError where the candidate reads what
    records lack; LedgerUnreadableError, LedgerDamagedError, PolicyRefusedError.
    """
    asked, standing = stated_reads(candidate), _reads_or_none(active)
    reads = _both(asked, standing or _NOTHING)
    known = routes_known(state, active, candidate)
    fold = Fold(moments=cuts(reads), addresses=standing_for(reads.networks))
    fold.read("newest", _newest(state, most), 1)
    judge = Judge(_loaded(active), reads, known) if standing is not None else None
    profiles = _as_in_force(fold.tallies, active.revision, judge)
    replaying = Replaying(_loaded(candidate), reads, known, place=_place)
    replaying.take(profiles)
    return Recent(replaying.result(), fold.decisions - replaying.fold.decisions)


def _newest(state: Path, most: int) -> list[bytes]:
    """The decisions, oldest first. Raises LedgerUnreadableError, LedgerDamagedError."""
    return list(islice(filter(is_decided, newest_records(state)), most))[::-1]


def _as_in_force(tallies: dict[Profile, Tally], revision: str, judge: Judge | None) -> dict[Profile, Tally]:
    """The profiles as the policy in force would have recorded them; those of which nobody can say it are left out."""
    others = [(profile, tally) for profile, tally in tallies.items() if profile.revision != revision]
    verdicts = judge.verdicts(others) if judge is not None else {}
    found: dict[Profile, Tally] = {}
    for profile, tally in tallies.items():
        for restated in _restated(profile, verdicts.get(profile, "not asked"), revision):
            if restated in found:
                found[restated].merge(tally)
            else:
                found[restated] = tally
    return found


def _restated(profile: Profile, verdict: Judged, revision: str) -> Iterator[Profile]:
    if profile.revision == revision or verdict is None:
        yield profile
    elif not isinstance(verdict, str):
        decision = "allow" if verdict.allow else "deny"
        yield replace(profile, decision=decision, reason=verdict.reason, scopes=verdict.scopes)


def _reads_or_none(bundle: Bundle) -> Reads | None:
    try:
        return stated_reads(bundle)
    except ReadsUnrecordedError:
        return None


def _both(one: Reads, other: Reads) -> Reads:
    networks = sorted({*one.networks, *other.networks})
    moments = sorted({*one.moments, *other.moments})
    return Reads(tuple(networks), tuple(moments), one.scope_mode or other.scope_mode)


def _loaded(bundle: Bundle) -> EmbeddedPolicy:
    return EmbeddedPolicy.load(bundle.wasm, bundle.data_json, bundle.revision, deadline_seconds=_DEADLINE_SECONDS)


def _place(profile: Profile) -> str:
    if profile.resource is not None:
        return "scope" if profile.resource[0] == "scope" else OTHER
    method = profile.action if profile.action in METHODS else OTHER
    return f"{method} {profile.route or 'no route'}"
