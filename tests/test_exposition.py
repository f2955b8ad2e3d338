"""The renderer writes what prometheus_client writes, in the format asked for, a piece at a time."""

import asyncio
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric, generate_latest
from prometheus_client.exposition import choose_encoder

from authz import exposition
from authz.exposition import Counter, Gauge, Histogram, Registry, render

OPENMETRICS = "application/openmetrics-text"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_values = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
_numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**9), 10**9).map(float),
    st.sampled_from([0.0, -0.0, 999_999.0, 1e6, 1e6 + 0.5, 123456789.0, 1e16, 1e-5, -2e7]),
)
_amounts = st.one_of(st.floats(0, 1e12), st.integers(0, 10**8).map(float))
_exemplars = st.none() | st.dictionaries(st.sampled_from(["trace_id", "decision_id"]), _values, max_size=2)
_counts = st.lists(st.tuples(_values, _values, _amounts, _exemplars), max_size=8)
_gauges = st.lists(st.tuples(_values, _numbers), max_size=8)
_timings = st.lists(st.tuples(_values, st.floats(-1, 20), _exemplars), max_size=12)
_help = st.text(alphabet=string.printable, max_size=20)


@given(counts=_counts, gauges=_gauges, timings=_timings, documentation=_help)
def test_the_text_is_that_of_prometheus_client(counts: Any, gauges: Any, timings: Any, documentation: str) -> None:
    """Whatever the labels, values and exemplars are, both formats are byte for byte those of `generate_latest`."""
    registry = Registry()
    counter = Counter("a_things_total", documentation, ("z", "a"), registry=registry)
    gauge = Gauge("b_level", documentation, ("where",), registry=registry)
    histogram = Histogram("c_seconds", documentation, ("b",), unit="seconds", buckets=(0.1, 1, 10), registry=registry)
    Counter("d_total", documentation, registry=registry).inc(3)
    Gauge("e_level", documentation, registry=registry).set_function(lambda: 7.5)
    for z, a, amount, exemplar in counts:
        counter.labels(z, a).inc(amount, exemplar)
    for where, number in gauges:
        gauge.labels(where).set(number)
    for b, seconds, exemplar in timings:
        histogram.labels(b).observe(seconds, exemplar)

    for _ in range(2):  # The second time from prefixes spelled out before.
        assert generate_latest(registry).decode() == "".join(registry.pieces(openmetrics=False))
        assert choose_encoder(OPENMETRICS)[0](registry).decode() == "".join(registry.pieces(openmetrics=True))


def test_foreign_collectors_are_written_too() -> None:
    """A collector of another kind is written in its place, and an unregistered one no longer."""

    class Foreign:
        def collect(self) -> list[Metric]:
            metric = Metric("foreign", "From elsewhere.", "gauge")
            metric.add_sample("foreign", {"x": 'a"b'}, 1.5)
            return [metric]

    registry = Registry()
    foreign = Foreign()
    gone = Gauge("gone", "Gone.", registry=registry)
    registry.register(foreign)
    Gauge("last", "Last.", registry=registry).set(2)
    registry.unregister(gone)

    assert "".join(registry.pieces(openmetrics=True)) == (
        "# HELP foreign From elsewhere.\n# TYPE foreign gauge\n"
        'foreign{x="a\\"b"} 1.5\n'
        "# HELP last Last.\n# TYPE last gauge\nlast 2.0\n# EOF\n"
    )


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT_TYPE),
        ("*/*", TEXT_TYPE),
        ("text/html", TEXT_TYPE),
        ("text/plain;version=0.0.4", TEXT_TYPE),
        ("application/openmetrics-text", OPENMETRICS_TYPE),
        ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", OPENMETRICS_TYPE),
        ("application/openmetrics-text;version=0.0.1", TEXT_TYPE),
        ("application/openmetrics-text;version=9.9.9", TEXT_TYPE),
        ("application/openmetrics-text;q=0", TEXT_TYPE),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", TEXT_TYPE),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.5", OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=nonsense,;,;;=", OPENMETRICS_TYPE),
        (
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
                "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
            ),
            OPENMETRICS_TYPE,
        ),
    ],
)
async def test_the_format_is_negotiated(accept: str, content_type: str) -> None:
    """OpenMetrics 1.0.0 for those who like it at least as much as text, text for everybody else."""
    registry = Registry()
    Gauge("level", "A level.", registry=registry)
    end = "# EOF\n" if content_type == OPENMETRICS_TYPE else ""

    assert await render(registry, accept) == (
        f"# HELP level A level.\n# TYPE level gauge\nlevel 0.0\n{end}".encode(),
        content_type,
    )


async def test_the_loop_gets_its_turn_while_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two children rendering gives way to other tasks once its time is up."""
    registry = Registry()
    level = Gauge("level", "A level.", ("x",), registry=registry)
    for x in range(50):
        level.labels(x)
    monkeypatch.setattr(exposition, "MAX_PAUSE_SECONDS", 0.0)
    turns = 0

    async def neighbour() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    body, _ = await render(registry, "")
    task.cancel()

    assert (generate_latest(registry), True) == (body, turns >= 50)


async def test_children_may_come_and_go_while_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy activated in the midst of a scrape does not break the scrape."""
    registry = Registry()
    level = Gauge("level", "A level.", ("x",), registry=registry)
    level.labels("a")
    level.labels("b")
    monkeypatch.setattr(exposition, "MAX_PAUSE_SECONDS", 0.0)
    rendering = asyncio.create_task(render(registry, ""))
    for _ in range(3):  # Past the head and the first child.
        await asyncio.sleep(0)
    level.remove("b")
    for x in "cdef":
        level.labels(x)
    body, _ = await rendering

    assert body == b'# HELP level A level.\n# TYPE level gauge\nlevel{x="a"} 0.0\nlevel{x="b"} 0.0\n'


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda r: Counter("x_total", "X.", ("a", "b"), registry=r), ("x_total", ("a", "b"))),
        (lambda r: Gauge("y", "Y.", registry=r), ("y", ())),
    ],
)
def test_a_metric_says_its_name_and_labels(make: Callable[[Registry], Counter | Gauge], names: object) -> None:
    """The reference in the documentation is made from what a metric says of itself."""
    metric = make(Registry())
    assert names == (metric.registered_name, metric.label_names)
