"""Which label sets there are: those of the active catalogue, made at zero, and the fixed ones beside them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from authz.core import REASONS, REFUSALS, Kind, Route, kind_of
from authz.exposition import OTHER
from authz.metrics.registry import METHODS, NONE, OUTCOMES

Labels = tuple[str, ...]

_METHODS = frozenset(METHODS)
FAILURES = frozenset({Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.LIMITED})
_FAILURE_STATUSES = tuple(str(kind.value) for kind in Kind if kind in FAILURES)
REFUSED_FAILURES = tuple((str(status), code) for code, status in REFUSALS.items() if str(status) in _FAILURE_STATUSES)
CODE_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
DECISION_CODES = ("200", "401", "403", "429", "503", *CODE_CLASSES)
ENDPOINT_CODES = ("400", "404", "405", "413", "500", *DECISION_CODES)


def method_label(name: str) -> str:
    """The method itself if it is one of the nine of HTTP."""
    return name if name in _METHODS else OTHER


def outcome_of(kind: Kind, *, allow: bool) -> str:
    """`allow`, `deny` or `error`."""
    if allow:
        return "allow"
    return "error" if kind is Kind.UNDECIDED else "deny"


def code_label(status: int, codes: tuple[str, ...]) -> str:
    """The status itself, else its class; what is no status at all is our own mistake."""
    return next((code for code in (str(status), f"{status // 100}xx") if code in codes), "5xx")


def scope_request_labels(routes: Iterable[Route], scopes: Iterable[str]) -> Iterator[Labels]:
    """Of SCOPE_REQUESTS_TOTAL."""
    yield from product((OTHER,), (OTHER, *METHODS), (NONE,), OUTCOMES)
    yield from product((OTHER,), (OTHER,), (OTHER, *scopes), OUTCOMES)
    for route in routes:
        yield from product((route.path,), (method_label(route.method),), (*route.scopes, NONE, OTHER), OUTCOMES)


def failure_labels(declared_reasons: Iterable[str]) -> Iterator[Labels]:
    """Of AUTH_FAILURES_TOTAL."""
    yield from product(_FAILURE_STATUSES, (OTHER,))
    yield from REFUSED_FAILURES
    for reason in (*REASONS, *declared_reasons):
        if kind_of(reason) in FAILURES:
            yield str(kind_of(reason).value), reason


def decision_labels(declared_reasons: Iterable[str]) -> Iterator[Labels]:
    """Of DECISIONS_TOTAL."""
    yield from product(OUTCOMES, (OTHER,))
    for reason in (*REASONS, *declared_reasons):
        kind = kind_of(reason)
        yield outcome_of(kind, allow=kind is Kind.ALLOW), reason


def request_labels(routes: Iterable[Route], endpoints: Mapping[str, Iterable[str]]) -> Iterator[Labels]:
    """Of REQUESTS_TOTAL."""
    yield from product((OTHER,), (OTHER, *METHODS), ENDPOINT_CODES)
    for path, methods in endpoints.items():
        yield from product((path,), methods, ENDPOINT_CODES)
    for route in routes:
        yield from product((route.path,), (method_label(route.method),), DECISION_CODES)
