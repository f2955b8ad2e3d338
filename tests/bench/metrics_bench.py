"""What counting, scraping and logging cost: `python -m tests.bench.metrics_bench` prints a table, then one JSON line.

Ratios before absolutes: the same machine runs up to 1.6 times slower from one minute to the next.
"""

import asyncio
import json
import os
import statistics
import timeit
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import structlog
from prometheus_client import generate_latest

from authz import log, metrics
from authz.core import (
    ANONYMOUS,
    AccessRequest,
    Action,
    Caller,
    Catalogue,
    CatalogueRoute,
    Decision,
    DecisionBody,
    Entity,
    Event,
)

SCRAPES = 20


def _catalogue() -> Catalogue:
    """A policy with 27 scopes and 110 routes, which makes about 5,000 series."""
    scopes = tuple(f"thing{n}:read" for n in range(27))
    routes = tuple(CatalogueRoute("GET", f"/things/{n}/{{id}}", all_of=(scopes[n % 27],)) for n in range(110))
    return Catalogue(scopes=scopes, roles=(), routes=routes)


def _microseconds(action: Callable[[], object], number: int = 20_000) -> float:
    return min(timeit.repeat(action, number=number, repeat=5)) / number * 1e6


def _milliseconds(action: Callable[[], object]) -> float:
    return statistics.median(timeit.repeat(action, number=1, repeat=7)) * 1e3


async def _worst_pause(scrape: Callable[[], object]) -> float:
    """The longest time in milliseconds that a neighbouring task had to wait during some scrapes."""
    worst, last, done = 0.0, perf_counter(), False

    async def neighbour() -> None:
        nonlocal worst, last
        while not done:
            now = perf_counter()
            worst, last = max(worst, now - last), now
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    for _ in range(SCRAPES):
        await asyncio.sleep(0.01)
        if asyncio.iscoroutine(body := scrape()):
            await body
    await asyncio.sleep(0)
    done = True
    await task
    return worst * 1e3


def main() -> dict[str, float]:
    """Measure and return everything."""
    meter = metrics.DecisionMeter({"/access/v1/evaluation": ("POST",)})
    catalogue = _catalogue()
    found = {"bind_first_ms": timeit.timeit(lambda: meter.bind(catalogue, "r1"), number=1) * 1e3}
    found["first_scrape_worst_pause_ms"] = asyncio.run(_worst_pause(lambda: metrics.render("")))
    found["bind_again_ms"] = _milliseconds(lambda: meter.bind(catalogue, "r1"))
    found["series"] = sum(not line.startswith(b"#") for line in generate_latest(metrics.REGISTRY).splitlines())

    request = AccessRequest(
        caller=Caller("bench"), dialect="envoy", action=Action("GET"), resource=Entity("route", "/things/1/2")
    )
    decision = Decision(
        id="1",
        allow=True,
        reason="scope_granted",
        revision="r1",
        subject=ANONYMOUS,
        scopes=(catalogue.scopes[1],),
        route="/things/1/{id}",
    )
    child = metrics.DECISIONS_TOTAL.labels("allow", "scope_granted")
    found["bound_inc_us"] = _microseconds(child.inc)
    found["decided_us"] = _microseconds(lambda: meter.decided(request, decision, 0.0008))
    found["request_finished_us"] = _microseconds(lambda: meter.request_finished("/things/1/{id}", "GET", 200, 0.0008))

    body = DecisionBody(
        decision="allow", reason="scope_granted", revision="r1", engine="e", dialect="d", caller="bench"
    )
    record = Event("1", "auth.scope_granted", body)
    found["recorded_us"] = _microseconds(lambda: meter.recorded(record))

    found["render_ms"] = _milliseconds(lambda: "".join(metrics.REGISTRY.pieces(openmetrics=False)).encode())
    found["render_openmetrics_ms"] = _milliseconds(lambda: "".join(metrics.REGISTRY.pieces(openmetrics=True)).encode())
    found["generate_latest_ms"] = _milliseconds(lambda: generate_latest(metrics.REGISTRY))
    found["worst_pause_ms"] = asyncio.run(_worst_pause(lambda: metrics.render("application/openmetrics-text")))
    found["generate_latest_worst_pause_ms"] = asyncio.run(_worst_pause(lambda: generate_latest(metrics.REGISTRY)))

    with Path(os.devnull).open("wb") as nowhere:
        log.configure("info", nowhere, capacity_bytes=1 << 30)
        logger = structlog.get_logger("bench").bind()
        fields = {
            "status": 403,
            "reason": "scope_missing",
            "decision_id": "0192",
            "route": "/a/{id}",
            "seconds": 0.0012,
        }
        found["log_line_us"] = _microseconds(lambda: logger.info("request_denied", **fields), 5_000)
        found["log_filtered_us"] = _microseconds(lambda: logger.debug("request_denied", **fields), 5_000)
        log.close()
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    measured = main()
    for name, value in measured.items():
        print(f"{name:32} {value:10.2f}")
    print(
        f"a decision costs {measured['decided_us'] / measured['bound_inc_us']:.1f} bound increments; "
        f"rendering takes {measured['render_ms'] / measured['generate_latest_ms']:.2f} of generate_latest, "
        f"its worst pause {measured['worst_pause_ms'] / measured['generate_latest_worst_pause_ms']:.3f} of it"
    )
    print(json.dumps(measured))
