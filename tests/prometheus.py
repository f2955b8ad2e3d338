"""A real Prometheus server for tests."""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from authz import slos
from tests.conftest import ROOT, missing
from tests.processes import wait_for


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str | float) -> Any:
        """The data that an API call answers with."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=20) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query."""
        rows = self.get("query", query=expression)["result"]
        return [(row["metric"], float(row["value"][1])) for row in rows]

    def firing(self) -> set[tuple[str, str]]:
        """Name and severity of every alert that fires now."""
        return {
            (alert["labels"]["alertname"], alert["labels"]["severity"])
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }


@contextlib.contextmanager
def prometheus(directory: Path, *targets: str, interval: str = "1s", factor: float = 1.0) -> Iterator[Prometheus]:
    """Prometheus with the shipped configuration: other targets and interval, windows shortened by `factor`."""
    program = shutil.which("prometheus") or missing("prometheus")
    directory.mkdir(exist_ok=True)
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    wanted = json.dumps([target.removeprefix("http://") for target in targets])
    for shipped, here in (
        ('["127.0.0.1:8081"]', wanted),
        ('targets: ["127.0.0.1:9093"]', "targets: []"),
        ("scrape_interval: 5s", f"scrape_interval: {interval}"),
        ("evaluation_interval: 15s", f"evaluation_interval: {interval}"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    (directory / "prometheus.yml").write_text(text)
    (directory / "rules.yml").write_text(slos.rules(factor=factor))
    port = free_port()
    command = [program, f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for("Prometheus ready", lambda: answers(f"{url}/-/ready"))
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether a URL gives 200."""
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False
