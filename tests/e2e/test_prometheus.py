"""A real Prometheus with the shipped configuration scrapes a real sidecar."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.conftest import ROOT, missing
from tests.processes import Sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def prometheus(running: Sidecar, tmp_path: Path) -> Iterator[str]:
    """Prometheus, with the sidecar's port and a shorter interval in the shipped file."""
    program = shutil.which("prometheus") or missing("prometheus")
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    for shipped, here in (
        ("127.0.0.1:8081", running.admin.removeprefix("http://")),
        ("scrape_interval: 5s", "scrape_interval: 1s"),
    ):
        assert text.count(shipped) == 1
        text = text.replace(shipped, here)
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(ROOT / "deploy" / "prometheus" / "rules.yml", tmp_path)
    command = [str(program), f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    port = _free_port()
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log)
    try:
        wait_for("Prometheus ready", lambda: _answers(f"http://127.0.0.1:{port}/-/ready"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_prometheus_sees_what_the_sidecar_counted(running: Sidecar, prometheus: str) -> None:
    """Scopes, routes and reasons arrive in Prometheus with the very numbers of the requests made."""
    token = running.token("alice", "user_basic")
    for path in ("/memory", "/memory", "/admin/config"):
        _ask(running, path, token)

    def query(expression: str) -> list[Any]:
        with urlopen(f"{prometheus}/api/v1/query?query={quote(expression)}", timeout=10) as response:
            rows = json.load(response)["data"]["result"]
        return [(row["metric"], float(row["value"][1])) for row in rows]

    allowed = 'authz_scope_requests_total{route="/memory",method="GET",scope="memory:read",decision="allow"} == 2'
    wait_for("the scrape after the requests", lambda: query(allowed))

    assert [value for _, value in query('sum(authz_decisions_total{reason="scope_missing"})')] == [1.0]
    assert [value for _, value in query('authz_audit_events_total{type="auth.scope_granted"}')] == [2.0]
    assert [value for _, value in query('scrape_series_added{job="authz"} < 20000')] != []


def _ask(running: Sidecar, path: str, token: str) -> None:
    request = Request(f"{running.decision}/check/envoy{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        urlopen(request, timeout=10).close()
    except HTTPError as denied:
        denied.close()
