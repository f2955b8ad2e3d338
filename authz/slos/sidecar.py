"""Measuring a sidecar by its own metrics: since its start, or between two scrapes."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families

from authz.slos.errors import SloSourceError
from authz.slos.fetch import get
from authz.slos.judge import Measured
from authz.slos.objectives import Objective
from authz.slos.query import Sample

Key = tuple[str, tuple[tuple[str, str], ...]]


class Sidecars:
    """One sidecar or several replicas of one, each by the URL of its admin listener.

    `seconds`: how long to watch; 0 judges everything since their start.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: str | None = None,
        seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._urls = tuple(urls)
        self._token = token
        self._seconds = seconds
        self._sleep = sleep

    def measure(self, objectives: Sequence[Objective]) -> dict[str, Measured]:
        """What happened, by objective. Raises SloSourceError when one replica cannot be scraped."""
        wanted = frozenset[str]().union(*(each.metrics for each in objectives))
        before = self._scrape(wanted) if self._seconds else {}
        if self._seconds:
            self._sleep(self._seconds)
        return measured(objectives, before, self._scrape(wanted))

    def _scrape(self, wanted: frozenset[str]) -> "Scrape":
        found: Scrape = {}
        for url in self._urls:
            status, body = get(url, "/metrics", self._token)
            if status != 200:
                raise SloSourceError(f"{url}/metrics: HTTP {status}; the URL has to be that of the admin listener")
            found |= {(url, *key): value for key, value in read(body.decode("utf-8", "replace"), wanted)}
        return found


Scrape = dict[tuple[str, str, tuple[tuple[str, str], ...]], float]
"""(where, name, sorted labels) -> value."""


def read(text: str, wanted: frozenset[str]) -> Iterable[tuple[Key, float]]:
    """The wanted samples of an exposition. Raises SloSourceError when it is none."""
    lines = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] in wanted]
    try:
        for family in text_string_to_metric_families("\n".join(lines)):
            for sample in family.samples:
                yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value
    except ValueError as error:
        raise SloSourceError(f"the metrics cannot be read: {error}") from None


def measured(objectives: Sequence[Objective], before: Scrape, after: Scrape) -> dict[str, Measured]:
    """What happened between two scrapes, or since the start without a first one.

    An objective without tolerance is held to everything since the start: what was found before is still so.
    """
    grown, whole = _samples(after, before), _samples(after, {})
    return {each.name: _measured(each, grown if each.tolerant else whole) for each in objectives}


def _measured(objective: Objective, samples: Sequence[Sample]) -> Measured:
    beside = objective.beside[1].over(samples) if objective.beside else None
    return Measured(objective.bad.over(samples), objective.total.over(samples), beside)


def _samples(after: Scrape, before: Mapping[tuple[str, str, tuple[tuple[str, str], ...]], float]) -> list[Sample]:
    found = []
    for key, value in after.items():
        grown = value - before.get(key, 0.0)
        # A counter that fell began anew: everything it has now is new.
        found.append(Sample(key[1], dict(key[2]), grown if grown >= 0 else value))
    return found
