"""The gate for pipelines, on real sidecars: healthy, slow, wrong, altered and idle."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec
import pytest

from authz import slos
from authz.identity import mint_token
from authz.slos.testing import TestSLOCIIntegration
from tests.conftest import ROOT, missing
from tests.e2e.test_commands import authz
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Collected here as in a user's own suite: it judges a synthetic run.
__all__ = ["TestSLOCIIntegration"]


@pytest.fixture(autouse=True)
def _no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged is what the test says, not what the machine's environment does."""
    for name in ("AUTHZ_SLO_SOURCE", "AUTHZ_SLO_TOKEN_FILE", "AUTHZ_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTHZ_SLO_REQUESTS", "300")


def driven(running: Sidecar, requests: int = 300) -> slos.Driven:
    """Mixed traffic."""
    return slos.drive(
        running.decision, {role: mint_token(running.state, role, [role]) for role in slos.ROLES}, requests
    )


def test_a_healthy_sidecar_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every objective is met, its ledger too, by URL, by environment, by the admin listener and by the command."""
    with sidecar(tmp_path / "state") as running:
        assert driven(running).wrong == ()
        token = tmp_path / "token"
        token.write_text(mint_token(running.state, "ci", ["admin_readonly"]))
        monkeypatch.setenv("AUTHZ_SLO_TOKEN_FILE", str(token))
        slos.assert_slos_in_ci(source=running.admin)
        monkeypatch.setenv("AUTHZ_SLO_SOURCE", running.admin)
        report = slos.run_slo_tests()
        assert (report["overall_pass"], report["critical_failures"], report["success_rate"]) == (True, [], 1.0)
        assert slos.check_audit_integrity() is True
        command = authz("slo", "check", "--url", running.admin, "--json")
        assert (command.returncode, msgspec.json.decode(command.stdout)["overall_pass"]) == (0, True)


def test_an_idle_sidecar_neither_passes_nor_fails(tmp_path: Path) -> None:
    """Without traffic there is not enough data, and that is what is said."""
    with sidecar(tmp_path / "state") as running:
        with pytest.raises(slos.NotEnoughData, match="API availability"):
            slos.assert_slos_in_ci(source=running.admin)
        assert slos.run_slo_tests(running.admin)["overall_pass"] is None
        with pytest.raises(slos.NotEnoughData, match="AUTHZ_SLO_TOKEN_FILE"):
            slos.check_audit_integrity(running.admin)
        command = authz("slo", "check", "--url", running.admin)
        assert (command.returncode, "Not enough data" in command.stdout) == (3, True)


def test_a_slow_sidecar_fails(tmp_path: Path) -> None:
    """With a disk that takes 0.7 s decisions are too slow, and nothing else is violated."""
    tool = shutil.which("strace") or missing("strace")
    with sidecar(tmp_path / "state") as running:
        with delayed(tool, running):
            driven(running, 120)
        with pytest.raises(slos.SloViolation, match=r"^Auth latency: violated"):
            slos.assert_slos_in_ci(source=running.admin)


@contextmanager
def delayed(tool: str, running: Sidecar) -> Iterator[None]:
    """Every fdatasync of the sidecar takes 0.7 s."""
    command = [tool, "-f", "-qq", "-o", "/dev/null", "-p", str(running.process.pid), "-e", "trace=fdatasync"]
    with subprocess.Popen([*command, "-e", "inject=fdatasync:delay_enter=700000"]) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def test_a_sidecar_that_decides_wrongly_fails(tmp_path: Path, opa_binary: Path) -> None:
    """A policy whose answer has another form for some subjects is our fault, however promptly they are denied."""
    source = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", source)
    rego = source / "authz" / "authz.rego"
    text = rego.read_text()
    assert text.count('"reason": "scope_granted"') == 1
    broken = 'default _reason := "scope_granted"\n\n_reason := 7 if input.subject.id == "user_basic"\n'
    rego.write_text(text.replace('"reason": "scope_granted"', '"reason": _reason') + "\n" + broken)
    wrong = tmp_path / "wrong.tar.gz"
    path = {"PATH": f"{opa_binary.parent}:{os.environ['PATH']}"}
    built = authz("policy", "build", str(source), "-o", str(wrong), environment=path)
    assert built.returncode == 0, built.stderr
    with sidecar(tmp_path / "state", "--dev", "--policy", str(wrong)) as running:
        assert driven(running).wrong != ()
        with pytest.raises(slos.SloViolation, match=r"Auth success rate"):
            slos.assert_slos_in_ci(source=running.admin)


def test_a_sidecar_whose_ledger_was_altered_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of one record: the metrics may not know of it yet, but the ledger is read."""
    with sidecar(tmp_path / "state") as running:
        driven(running)
        monkeypatch.setenv("AUTHZ_STATE", str(running.state))
        slos.assert_slos_in_ci(source=running.admin)
        (segment,) = (running.state / "audit" / "worker-0").glob("*.jsonl")
        with segment.open("r+b") as file:
            text = file.read(4096)
            file.seek(text.index(b'"reason":"scope_granted"'))
            file.write(b'"reason":"scope_GRANTED"')
        with pytest.raises(slos.SloViolation, match="Audit integrity"):
            slos.assert_slos_in_ci(source=running.admin)
        assert slos.check_audit_integrity(running.admin) is False


def test_the_command_generates_its_own_run() -> None:
    """`authz slo check --generate` starts, drives and judges a sidecar of its own."""
    found = authz("slo", "check", "--generate", "--requests", "300", "--json")
    report = msgspec.json.decode(found.stdout)
    assert (found.returncode, report["overall_pass"]) == (0, True), found.stderr
    assert {row["objective"]: row["total"] for row in report["results"]}["api-availability"] == 300


def test_the_admin_listener_tells_how_it_stands(tmp_path: Path) -> None:
    """`GET /v1/slo` is the report since the start, for whoever may read metrics."""
    with sidecar(tmp_path / "state") as running:
        driven(running)
        request = Request(f"{running.admin}/v1/slo")
        request.add_header("Authorization", f"Bearer {mint_token(running.state, 'ops', ['admin_readonly'])}")
        with urlopen(request, timeout=20) as response:
            report = msgspec.json.decode(response.read())
    assert (report["overall_pass"], len(report["results"])) == (True, 7)
