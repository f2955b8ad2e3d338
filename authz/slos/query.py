"""The queries of the objectives: sums of counters, joined by + and -, for two scrapes or for Prometheus alike."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from authz.slos.errors import ObjectivesError

_TERM: Final = re.compile(r"\s*([+-]?)\s*sum\(([a-z_:]+)(?:\{([^}]*)\})?\)")
_MATCHER: Final = re.compile(r'\s*([a-z_]+)(=~|!~|!=|=)"([^"]*)"\s*(?:,|$)')


class Sample(NamedTuple):
    """One series at one moment."""

    name: str
    labels: Mapping[str, str]
    value: float


class _Matcher(NamedTuple):
    label: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """As Prometheus matches: an absent label is an empty one, patterns match from end to end."""
        found = labels.get(self.label, "")
        matched = re.fullmatch(self.value, found) is not None if "~" in self.operator else found == self.value
        return matched != self.operator.startswith("!")


class Term(NamedTuple):
    """One sum."""

    sign: int
    metric: str
    selector: str
    matchers: tuple[_Matcher, ...]

    def over(self, samples: Iterable[Sample]) -> float:
        """The sum, with its sign."""
        fitting = (s.value for s in samples if s.name == self.metric and all(m.fits(s.labels) for m in self.matchers))
        return self.sign * sum(fitting)


class Query(NamedTuple):
    """A query in both its forms."""

    terms: tuple[Term, ...]

    @property
    def metrics(self) -> frozenset[str]:
        """The samples it reads, by name."""
        return frozenset(term.metric for term in self.terms)

    def over(self, samples: Iterable[Sample]) -> float:
        """Its value on one scrape."""
        kept = tuple(samples)
        return sum(term.over(kept) for term in self.terms)

    def promql(self, per_series: Callable[[str], str]) -> str:
        """PromQL, with `per_series` around each selector. Of several sums, one without series is 0, as in a scrape."""
        absent = " or vector(0)" if len(self.terms) > 1 else ""
        sums = [(t.sign, f"sum({per_series(t.selector)}){absent}") for t in self.terms]
        text = "".join(f" {'-' if sign < 0 else '+'} {f'({term})' if absent else term}" for sign, term in sums)
        return text.removeprefix(" + ")


def parse(text: str) -> Query:
    """Read a query. Raises ObjectivesError for anything but sums of plain selectors joined by + and -."""
    terms: list[Term] = []
    at = 0
    while at < len(text.rstrip()):
        found = _TERM.match(text, at)
        if found is None or (not found[1]) == bool(terms):
            raise ObjectivesError(f"query: at {text[at:][:40]!r}: must be sum(METRIC{{LABELS}}), joined by + or -")
        terms.append(Term(-1 if found[1] == "-" else 1, found[2], _selector(found), _matchers(found[3] or "")))
        at = found.end()
    if not terms:
        raise ObjectivesError("query: must not be empty")
    return Query(tuple(terms))


def _selector(found: re.Match[str]) -> str:
    return f"{found[2]}{{{found[3]}}}" if found[3] else found[2]


def _matchers(text: str) -> tuple[_Matcher, ...]:
    matchers: list[_Matcher] = []
    at = 0
    while at < len(text):
        found = _MATCHER.match(text, at)
        if found is None:
            raise ObjectivesError(f'query: {text!r}: label matchers must be LABEL="VALUE", separated by commas')
        matchers.append(_Matcher(found[1], found[2], found[3]))
        at = found.end()
    return tuple(matchers)
