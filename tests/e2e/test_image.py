"""The container image, built and run natively by its own RUN, COPY, CMD and HEALTHCHECK lines; no Docker engine."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from authz.config import Settings
from tests.conftest import ROOT
from tests.processes import close

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_ADMIN = "http://127.0.0.1:8081"
_DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
_COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


def _lines(instruction: str) -> list[str]:
    return [" ".join(rest.split()) for rest in re.findall(rf"^{instruction} (.*)$", _DOCKERFILE, re.MULTILINE)]


def _built(directory: Path) -> Path:
    """Do what the build stage does: copy what it copies, then its RUN line, with its own prefix for /opt."""
    source = directory / "src"
    source.mkdir()
    for line in _lines("COPY"):
        *names, target = line.split()
        if names[0].startswith("--from"):
            continue
        for name in names:
            place = source / target / (name if (ROOT / name).is_file() else "")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, place)
    opt = directory / "opt"
    build = next(line for line in _lines("RUN") if "pip install" in line)
    command = build.replace("/opt/authz", str(opt)).replace("python -m venv", f"{sys.executable} -m venv")
    command = command.replace("--no-cache-dir", "--quiet --disable-pip-version-check")
    subprocess.run(command, shell=True, check=True, cwd=source)
    return opt


def test_the_image_serves_what_the_compose_file_asks_for(tmp_path: Path) -> None:
    """The installed wheel has the program and the bundle, starts by the compose command, and is healthy."""
    opt = _built(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    entrypoint = json.loads(_lines("ENTRYPOINT")[0])
    environment = dict(pair.split("=", 1) for pair in shlex.split(_lines("ENV")[0]))
    assert environment["AUTHZ_STATE"].startswith("/var/lib/authz/")
    command = [str(opt / "bin" / entrypoint[0]), *_COMPOSE["services"]["authz"]["command"]]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=home,
        env={
            "PATH": f"{opt}/bin:/usr/bin:/bin",
            "AUTHZ_STATE": str(home / "state"),
            "AUTHZ_LISTEN": "127.0.0.1:0",
            "AUTHZ_ADMIN_LISTEN": "127.0.0.1:0",
        },
    )
    try:
        assert process.stdout is not None
        places = json.loads(process.stdout.readline())["listening"]
        check = json.loads(_lines("HEALTHCHECK")[0].partition("CMD ")[2].replace(_ADMIN, places["admin"]))
        healthy = subprocess.run([str(opt / "bin" / check[0]), *check[1:]], check=False)
    finally:
        process.terminate()
        process.wait(timeout=20)
        close(process.stdout)

    assert healthy.returncode == 0
    assert (f"http://{Settings().listen}", f"http://{Settings().admin_listen}") == ("http://127.0.0.1:8080", _ADMIN)
    assert _lines("EXPOSE") == ["8080 8081"]


def test_the_image_is_what_it_should_be() -> None:
    """Two stages, a slim base, no root at run time, and only what the service needs is copied."""
    assert len(_lines("FROM")) == 2
    assert all("slim" in line for line in _lines("FROM"))
    assert _lines("USER") == ["authz"]
    assert {name for line in _lines("COPY") for name in line.split()[:-1]} == {
        "pyproject.toml",
        "README.md",
        "authz",
        "bundles",
        "policies",
        "--from=build",
        "/opt/authz",
    }


def test_the_compose_file_hangs_together() -> None:
    """Every file it mounts exists, and everybody shares Envoy's network, so the sidecar is reached by loopback only."""
    services = _COMPOSE["services"]
    mounts = [each.split(":")[0] for service in services.values() for each in service.get("volumes", [])]

    assert sorted(services) == ["authz", "envoy", "prometheus", "upstream"]
    assert [mount for mount in mounts if mount.startswith(".") and not (ROOT / "deploy" / mount).exists()] == []
    assert {name: service.get("network_mode") for name, service in services.items()} == {
        "envoy": None,
        "authz": "service:envoy",
        "upstream": "service:envoy",
        "prometheus": "service:envoy",
    }
    assert services["envoy"]["ports"] == ["10000:10000", "9090:9090"]
