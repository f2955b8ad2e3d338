"""How requests ended, as a real nginx logs it and `authz report` brings it to the sidecar."""

import subprocess
import sys
from pathlib import Path

import pytest

from authz.audit import get_audit_events
from authz.identity import mint_token
from tests.e2e.client import Client
from tests.e2e.gateways import SHIPPED, Ports, nginx
from tests.e2e.upstream import running_upstream
from tests.processes import sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_nginx_reports_how_requests_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is one event with its decision, its status and its duration, and counts under its route."""
    log = tmp_path / "events.log"
    shipped = tmp_path / "shipped"
    (shipped / "nginx").mkdir(parents=True)
    server = (SHIPPED / "nginx" / "authz.conf").read_text()
    line = "    access_log /var/log/nginx/api.log authz;\n"
    assert line in server
    added = f"{line}    access_log {log} authz_events;\n"
    reporting = (SHIPPED / "nginx" / "reporting.conf").read_text()
    (shipped / "nginx" / "authz.conf").write_text(reporting + server.replace(line, added))
    monkeypatch.setattr("tests.e2e.gateways.SHIPPED", shipped)
    with sidecar(tmp_path / "state") as running, running_upstream() as upstream:
        token = mint_token(running.state, "alice", ("user_basic",), None)
        with nginx(tmp_path, Ports(running.port, upstream.port), "authz.conf") as url, Client(url) as client:
            headers = {"Authorization": f"Bearer {token}", "User-Agent": "\udcff"}
            assert client.send("GET", "/memory/m-1?q=1", headers).status == 200
            assert client.send("PUT", "/admin/config", headers).status == 403
            wait_for("two lines", lambda: log.exists() and len(log.read_bytes().splitlines()) == 2)
        command = [sys.executable, "-m", "authz", "report", "--url", running.decision]
        text = log.read_bytes()
        told = [subprocess.run(command, input=text, capture_output=True, check=True).stderr for _ in range(2)]
        reported = get_audit_events(10, path=running.state, type="api.request")
        decisions = {each["id"]: each for each in get_audit_events(100, path=running.state) if "decision" in each}
        metrics = running.metrics()

    assert told == [b"2 recorded, 0 duplicate, 0 refused\n", b"0 recorded, 2 duplicate, 0 refused\n"]
    assert [(each["route"], each["method"], each["status"]) for each in reported] == [
        ("/admin/config", "PUT", 403),
        ("/memory/{id}", "GET", 200),
    ]
    assert [decisions[each["decision_id"]]["decision"] for each in reported] == ["deny", "allow"]
    counted = [name for name, value in metrics.items() if name.startswith("authz_reported_requests_total{") and value]
    assert len(counted) == 2
    assert all('route="other"' not in name for name in counted)
