"""The OpenAPI documents say what the listeners do: no more, no less."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from authz.core import AUTHZEN_PATHS, METADATA, SEARCH_PATHS
from authz.gateways import DIALECTS, OPA_DATA, PLUGINS
from authz.http.admin import AdminListener
from authz.http.bundles import BUNDLE
from tests.http.conftest import Running
from tests.processes import sidecar

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SECONDS = int(os.environ.get("AUTHZ_TEST_SECONDS", "12"))
"""How long schemathesis may make up requests for one listener."""


async def test_every_route_of_the_decision_listener_is_described(running: Running) -> None:
    """The served document has exactly the routes that the listener answers."""
    answer = await running.send("GET", f"{running.decision}/openapi.json")
    dialects = {f"{path}/{{path}}" if each.path_follows else path for path, each in DIALECTS.items()}
    fixed = {
        *AUTHZEN_PATHS,
        *SEARCH_PATHS.values(),
        METADATA,
        *OPA_DATA,
        *PLUGINS,
        "/v1/events",
        "/v1/stream",
        BUNDLE,
        "/openapi.json",
    }

    assert set(answer.body["paths"]) == fixed | dialects
    assert await _unknown(running.decision, fixed, running) == []


async def test_every_route_of_the_admin_listener_is_described(running: Running) -> None:
    """The served document has exactly the routes of the listener's table, with the scope that each takes."""
    answer = await running.send("GET", f"{running.admin}/openapi.json")
    listener = AdminListener(running.pdp)
    table = {
        *listener._routes,
        *listener._acts,
        *listener._by_method,
        *listener._streams,
        *(f"{prefix}{{path}}" for prefix in listener._below),
    }

    assert set(answer.body["paths"]) == table
    assert answer.body["paths"]["/v1/audit/events"]["get"]["x-scope"] == "admin:audit:read"
    assert await _unknown(running.admin, {path for path in table if "{" not in path}, running) == []


async def _unknown(url: str, paths: set[str], running: Running) -> list[str]:
    """The paths that a listener does not know."""
    return [path for path in sorted(paths) if (await running.send("OPTIONS", url + path)).status == 404]


@pytest.mark.e2e
@pytest.mark.timeout(120 + 4 * SECONDS)
@pytest.mark.parametrize("listener", ["decision", "admin"])
def test_generated_requests_are_answered_as_described(tmp_path: Path, listener: str) -> None:
    """Whatever schemathesis makes up is answered with a status and a body that the document has, and never a 5xx."""
    with sidecar(tmp_path / "state", environment={"AUTHZ_POLICY__DEADLINE_SECONDS": "1"}) as pdp:
        url = pdp.decision if listener == "decision" else pdp.admin
        token = pdp.token("root", "admin")
        examples = os.environ.get("AUTHZ_TEST_REQUESTS", "10")
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", CHECKS]
        command += ["--phases", "examples,coverage,fuzzing", "--max-examples", examples]
        command += ["--max-time", str(SECONDS)]
        command += ["--mode", "all", "--seed", "1", "--suppress-health-check", "all", "--no-color"]
        command += ["--header", f"Authorization: Bearer {token}", "--generation-database", "none"]
        command += ["--exclude-path", "/v1/audit/tail"]  # its answer does not end
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
