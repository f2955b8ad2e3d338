"""A real Alertmanager with the shipped file: a page silences the ticket of its objective, and nothing else."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.conftest import ROOT, missing
from tests.processes import wait_for
from tests.prometheus import answers, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The URL of its API."""
    program = shutil.which("prometheus-alertmanager") or missing("prometheus-alertmanager")
    port = free_port()
    command = [
        program,
        f"--config.file={ROOT / 'deploy' / 'prometheus' / 'alertmanager.yml'}",
        "--cluster.listen-address=",
    ]
    command += [f"--storage.path={tmp_path}", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        wait_for("Alertmanager ready", lambda: answers(f"http://127.0.0.1:{port}/-/ready"))
        yield f"http://127.0.0.1:{port}/api/v2/alerts"
    finally:
        process.terminate()
        process.wait(timeout=20)


def burning(objective: str, sloth_severity: str) -> dict[str, str]:
    """The labels of a burn-rate alert."""
    name = "Authz" + "".join(part.capitalize() for part in objective.split("-")) + "Burn"
    severity = {"page": "critical", "ticket": "warning"}[sloth_severity]
    return {
        "alertname": name,
        "severity": severity,
        "sloth_severity": sloth_severity,
        "sloth_id": f"authz-{objective}",
    }


def test_pages_inhibit_tickets(alertmanager: str) -> None:
    """The ticket of a paged objective is silent; those of others, and alerts without an objective, are not."""
    sent = [
        burning("api-availability", "page"),
        burning("api-availability", "ticket"),
        burning("errors-5xx", "ticket"),
        burning("auth-latency", "ticket"),
        {"alertname": "AuthzCheckpointOld", "severity": "warning", "instance": "a"},
        {"alertname": "AuthzDown", "severity": "critical", "instance": "b"},
        {"alertname": "AuthzCheckpointOld", "severity": "warning", "instance": "b"},
    ]
    body = json.dumps([{"labels": labels} for labels in sent]).encode()
    urlopen(Request(alertmanager, data=body, headers={"Content-Type": "application/json"}), timeout=10).close()

    def inhibited() -> list[dict[str, str]]:
        with urlopen(alertmanager, timeout=10) as response:
            found = json.load(response)
        assert len(found) == len(sent)
        return [
            labels for labels in sent for each in found if each["labels"] == labels and each["status"]["inhibitedBy"]
        ]

    assert wait_for("inhibition", lambda: len(inhibited()) >= 3 and inhibited()) == [sent[1], sent[2], sent[6]]
