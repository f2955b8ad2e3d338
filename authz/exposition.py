"""Metrics that write themselves out fast, in the formats of Prometheus, without holding up the event loop.

The lines are those of prometheus_client's own `generate_latest`; what is saved is spelling out every label set again
at every scrape. `_created` samples are never written: they add a series to each child and nothing that is asked here.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple, Protocol, Self
from weakref import WeakSet

import prometheus_client
from prometheus_client import CollectorRegistry, Metric, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped

MAX_PAUSE_SECONDS = 0.002
"""Longest stretch of rendering before the event loop gets its turn; one child's lines may come on top."""

_END = "# EOF\n"
_go_text: Callable[[float], str] = floatToGoString


OTHER = "other"
"""Every label's value once a metric has as many children as it may have."""


class Family(MetricWrapperBase):
    """A metric that writes its own lines. The unchanging part of each line is spelled out once per child.

    It has at most `max_children` children: whoever asks for more gets the one that is called `other` throughout, and
    `on_overflow` is told the metric's name.
    """

    max_children: ClassVar[int] = 4_000
    on_overflow: ClassVar[Callable[[str], None] | None] = None
    _prefixes: tuple[str, ...] = ()

    def labels(self, *labelvalues: Any, **labelkwargs: Any) -> Self:
        """The child with these labels, as prometheus_client has it, or the one for what is too much."""
        values = tuple(map(str, labelvalues or [labelkwargs.get(name) for name in self._labelnames]))
        if len(self._metrics) < self.max_children or values in self._metrics:
            return super().labels(*labelvalues, **labelkwargs)
        if Family.on_overflow is not None:
            Family.on_overflow(self.registered_name)
        return super().labels(*[OTHER] * len(self._labelnames))

    @property
    def registered_name(self) -> str:
        """The metric's full name, `_total` included."""
        return self._original_name

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the metric's labels."""
        return tuple(self._labelnames)

    def make(self, values: tuple[str, ...]) -> None:
        """Make the child with these label values, past the cap too: for whoever keeps to a cap of its own."""
        super().labels(*values)

    def label_sets(self) -> list[tuple[str, ...]]:
        """The label values of every child there is."""
        with self._lock:
            return [tuple(values) for values in self._metrics]

    def pieces(self, *, exemplars: bool) -> Iterator[str]:
        """The lines of each child in turn."""
        for child in self._children():
            yield child.lines(exemplars=exemplars)

    def lines(self, *, exemplars: bool) -> str:
        """The lines of one child."""
        prefixes = self._prefixes
        if not prefixes:
            prefixes = self._prefixes = self._spelled()
        if exemplars:
            ends = [_exemplar(exemplar) if exemplar else "" for exemplar in self._exemplars()]
            return "".join([f"{p}{_number(n)}{e}\n" for p, n, e in zip(prefixes, self._numbers(), ends, strict=True)])
        return "".join([f"{p}{_number(n)}\n" for p, n in zip(prefixes, self._numbers(), strict=True)])

    def _children(self) -> "Sequence[Family]":
        if self._labelvalues or not self._labelnames:
            return (self,)
        with self._lock:
            children: dict[Sequence[str], Any] = self._metrics
            return list(children.values())

    def _spelled(self) -> tuple[str, ...]:
        own = dict(zip(self._labelnames, self._labelvalues, strict=True))
        return tuple(_prefix(self._name + s.name, {**own, **s.labels}) for s in self._child_samples())

    def _numbers(self) -> Iterable[float]:
        """The values of one child, in the order of its samples."""
        return [sample.value for sample in self._child_samples()]

    def _exemplars(self) -> Iterable[Exemplar | None]:
        """The exemplars of one child, in the order of its samples."""
        return [sample.exemplar for sample in self._child_samples()]


class Counter(Family, prometheus_client.Counter):
    """A counter that writes its own lines."""

    def _numbers(self) -> Iterable[float]:
        return (self._value.get(),)

    def _exemplars(self) -> Iterable[Exemplar | None]:
        return (self._value.get_exemplar(),)


class Gauge(Family, prometheus_client.Gauge):
    """A gauge that writes its own lines."""


class Histogram(Family, prometheus_client.Histogram):
    """A histogram that writes its own lines. Its buckets are not negative."""

    max_children = 500

    def add(self, counts: Sequence[int], total: float, exemplars: Mapping[int, Exemplar]) -> None:
        """Many observations at once: so many in each bucket, their sum, and the exemplars of some buckets."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        for index, exemplar in exemplars.items():
            self._buckets[index].set_exemplar(exemplar)
        self._sum.inc(total)

    def _numbers(self) -> Iterable[float]:
        numbers: list[float] = list(accumulate([bucket.get() for bucket in self._buckets]))
        numbers += (numbers[-1], self._sum.get())
        return numbers

    def _exemplars(self) -> Iterable[Exemplar | None]:
        return [bucket.get_exemplar() for bucket in self._buckets] + [None, None]


class Aside(Protocol):
    """Counts on the side, where that is cheaper than in a metric."""

    def carry_over(self) -> Iterator[None]:
        """Take what was counted so far, all at the first step, and add it to the metrics, a little at each step."""
        ...


class Registry(CollectorRegistry):
    """A registry that can be written out piece by piece, in the order of registration.

    Whoever counts on the side, and not in the metrics themselves, is in `aside`: it is asked to carry its counts over,
    step by step, before anything is read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []
        self.aside: WeakSet[Aside] = WeakSet()

    def register(self, collector: Collector) -> None:
        """Add a collector."""
        super().register(collector)
        self.collectors.append(collector)

    def unregister(self, collector: Collector) -> None:
        """Remove a collector."""
        super().unregister(collector)
        self.collectors.remove(collector)

    def collect(self) -> Iterable[Metric]:
        """Every metric, as prometheus_client has it."""
        for each in tuple(self.aside):
            deque(each.carry_over(), maxlen=0)
        return super().collect()

    def pieces(self, *, openmetrics: bool) -> Iterator[str]:
        """The whole text in small pieces, none longer than the lines of one child or of one foreign collector."""
        for each in tuple(self.aside):
            for _ in each.carry_over():
                yield ""
        for collector in tuple(self.collectors):
            if isinstance(collector, Family):
                yield _encoded(_Once(collector.describe()), openmetrics=openmetrics)
                yield from collector.pieces(exemplars=openmetrics)
            else:
                yield _encoded(collector, openmetrics=openmetrics)
        if openmetrics:
            yield _END


async def render(registry: Registry, accept: str) -> tuple[bytes, str]:
    """Everything in the registry in the format that an Accept header asks for, and that format's content type.

    The loop gets its turn every MAX_PAUSE_SECONDS, so that one child's lines are of one moment, but not the whole text.
    """
    openmetrics = _wants_openmetrics(accept)
    pieces = []
    due = time.perf_counter() + MAX_PAUSE_SECONDS
    for piece in registry.pieces(openmetrics=openmetrics):
        pieces.append(piece)
        if time.perf_counter() > due:
            await asyncio.sleep(0)
            due = time.perf_counter() + MAX_PAUSE_SECONDS
    content_type = CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN_0_0_4
    return "".join(pieces).encode(), content_type


class _Once(NamedTuple):
    """A collector of just these metrics."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        return self.metrics


_encoders = {wanted: choose_encoder(kind)[0] for wanted, kind in ((True, "application/openmetrics-text"), (False, ""))}


def _encoded(collector: Collector, *, openmetrics: bool) -> str:
    return _encoders[openmetrics](collector).decode().removesuffix(_END if openmetrics else "")


def _prefix(name: str, labels: dict[str, str]) -> str:
    if not labels:
        return f"{name} "
    return f"{name}{_braced(labels)} "


def _exemplar(exemplar: Exemplar) -> str:
    return f" # {_braced(exemplar.labels)} {_number(exemplar.value)} {exemplar.timestamp}"


def _braced(labels: dict[str, str]) -> str:
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())]) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """`floatToGoString`, with a short way for the numbers that Go and Python write alike."""
    return repr(float(value)) if -1e6 < value < 1e6 else _go_text(value)


_QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def _wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header likes OpenMetrics 1.0 at least as much as plain text."""
    quality = {"openmetrics": 0.0, "text": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        version = next((p.removeprefix("version=") for p in parameters if p.startswith("version=")), "1.0.0")
        matches = (m for p in parameters if (m := _QUALITY.fullmatch(p)))
        stated = next((float(m.group(1)) for m in matches), 1.0)
        if kind == "application/openmetrics-text" and version == "1.0.0":
            quality["openmetrics"] = max(quality["openmetrics"], stated)
        elif kind == "text/plain":
            quality["text"] = max(quality["text"], stated)
    return quality["openmetrics"] > 0 and quality["openmetrics"] >= quality["text"]
