"""Whatever a client makes up, /metrics stays as it is: no new series, and everything counted."""

import http.client
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from authz.identity import mint_token
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

REQUESTS = int(os.environ.get("AUTHZ_TEST_HOSTILE_REQUESTS", "2000"))


def test_a_hostile_client_adds_no_series(tmp_path: Path) -> None:
    """As many distinct paths, methods, scopes, hosts and user agents as requests: the series are those of the start."""
    with sidecar(tmp_path / "state") as running:
        before = running.metrics()
        statuses = sent(running, mint_token(running.state, "eve", ["user_basic"]))
        after = running.metrics()
    new = {name for name in after if name not in before and name.startswith("authz_")}
    # Gauges of the auditor and of the keys come with the first look at them, not with a request.
    assert {name for name in new if "_total" in name or "_seconds_bucket" in name} == set()
    counted = sum(n for name, n in after.items() if name.startswith("authz_requests_total{"))
    assert (counted, len(after) < 20_000) == (sum(statuses.values()), True)


def sent(running: Sidecar, token: str) -> dict[int, int]:
    """Every request another one, in all that a client can choose; how many of each status came back."""
    parts = urlsplit(running.decision)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    statuses: dict[int, int] = {}
    for n in range(REQUESTS):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": f"agent-{n}", "X-Request-ID": f"id-{n}"}
        if n % 3 == 2:
            body = (
                f'{{"subject": {{"type": "user", "id": "eve", "properties": {{"scopes": ["made:up-{n}"]}}}},'
                f'"action": {{"name": "act-{n}"}}, "resource": {{"type": "scope", "id": "made:up-{n}"}}}}'
            )
            headers["Content-Type"] = "application/json"
            connection.request("POST", f"/access/v1/evaluation?n={n}", body=body.encode(), headers=headers)
        else:
            headers["X-Forwarded-Host"] = headers["Host"] = f"host-{n}.example"
            method = f"M{n}" if n % 3 else "GET"
            connection.request(method, f"/check/envoy/made/up/{n}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if answer.will_close:
            connection.close()
    connection.close()
    return statuses
