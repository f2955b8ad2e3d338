"""What is in force and how it got there, as operators see it."""

from typing import Any

from msgspec import Struct

from authz.activation.journal import Kept
from authz.activation.rehearsal import Replayed


class Rejected(Struct, frozen=True):
    """The last bundle that was not put in force."""

    reason: str
    detail: str
    sha256: str
    at: float


class Shadowing(Struct, frozen=True):
    """The next policy beside the one in force."""

    revision: str
    until: float
    compared: int
    different: int
    differences: list[dict[str, Any]]


class PolicyStatus(Struct, frozen=True, kw_only=True):
    """`GET /v1/policy`. Times in seconds since the epoch.

    `pinned`: who holds this revision by a rollback, and why; empty when nobody does. `age_seconds`: since the source
    confirmed it; None where no source is followed. `waiting`: a newer, verified revision that the pin holds back.
    `replayed`: the last policy that was put to recorded decisions before it was put in force, or was not.
    """

    revision: str
    engine: str
    source: str
    sha256: str
    sequence: int
    key_ids: tuple[str, ...]
    activated_at: float | None
    by: str
    pinned: str
    age_seconds: float | None
    stale: bool
    waiting: str | None
    shadow: Shadowing | None
    rejected: Rejected | None
    replayed: Replayed | None
    source_trouble: str
    kept: tuple[Kept, ...]
