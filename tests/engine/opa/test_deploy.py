"""The shipped configuration of OPA: the real, pinned OPA started with these very files, asked by the engine."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from authz import bundle, policy
from authz.core import UNAVAILABLE
from authz.engine.opa import OpaClient, OpaServer, Place
from authz.engine.opa.engines import catalogue_of
from tests.bundle.signers import Signer, make_signer
from tests.conftest import ROOT
from tests.engine.opa.bundle_server import BundleServer, bundle_server
from tests.processes import wait_for

DEPLOY = ROOT / "deploy" / "opa"
TOKEN = "a-token-for-this-test"
HEALTH = b'{"action":{"name":"GET"},"resource":{"type":"route","route":"/health"}}'

pytestmark = pytest.mark.slow


class Deployed(NamedTuple):
    """OPA as deployed, the server that has its bundles, and who signs them."""

    socket: Path
    bundles: BundleServer
    signer: Signer
    process: "subprocess.Popen[str]"
    log: Path


@contextlib.contextmanager
def deployed(opa: Path, directory: Path, server: BundleServer, signer: Signer) -> Iterator[Deployed]:
    """OPA with the files of `deploy/opa`."""
    sockets = Path(tempfile.mkdtemp(prefix="opa-"))
    socket, log = sockets / "s", directory / "opa.log"
    environment = {
        **os.environ,
        "AUTHZ_BUNDLES_URL": server.url,
        "AUTHZ_BUNDLE_KEY": signer.public.read_text().strip().replace("\n", "\\n"),
        "AUTHZ_OPA_STATE": str(directory / "persisted"),
        "AUTHZ_OPA_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
    }
    command = [str(opa), "run", "--server", "--addr", f"unix://{socket}", "--authentication=token"]
    command += ["--authorization=basic", "--skip-version-check", "--log-level=error", "--config-file", "opa.yaml"]
    with log.open("a") as errors:
        process = subprocess.Popen([*command, "authz.rego"], cwd=DEPLOY, env=environment, stderr=errors, text=True)
    try:
        wait_for("a listening OPA", socket.exists)
        yield Deployed(socket, server, signer, process, log)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(sockets)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """The key that `opa.yaml` names."""
    return make_signer(tmp_path, "release")


@pytest.fixture
def opa(opa_binary: Path, tmp_path: Path, signer: Signer) -> Iterator[Deployed]:
    """OPA as deployed, with the shipped policy, signed."""
    archive = bundle.sign(bundle.shipped_archive(), signer.signing, 1)
    with bundle_server(archive) as server, deployed(opa_binary, tmp_path, server, signer) as running:
        yield running


@pytest.fixture
async def engine(opa: Deployed, tmp_path: Path) -> AsyncIterator[OpaServer]:
    """The engine on it, with its token."""
    (tmp_path / "token").write_text(TOKEN)
    server = OpaServer(
        OpaClient(Place("localhost", 1, socket=opa.socket), token_file=tmp_path / "token"), deadline_seconds=5.0
    )
    yield server
    await server.close()


def altered_policy(opa: Path, directory: Path) -> bytes:
    """The default policy with another description: another revision."""
    sources = directory / "policies"
    shutil.copytree(ROOT / "policies", sources)
    roles = sources / "authz" / "roles" / "data.yaml"
    roles.write_text(roles.read_text().replace("Looks at their own things", "Looks at one's own things"))
    policy.build(sources, directory / "other.tar.gz", opa)
    return (directory / "other.tar.gz").read_bytes()


async def known(engine: OpaServer, archive: bytes) -> str:
    """Trust a bundle; its revision."""
    found = bundle.read(archive)
    catalogue, searches = await asyncio.to_thread(catalogue_of, found)
    engine.know(found.revision, catalogue, found.entrypoints, searches)
    return found.revision


async def test_a_signed_bundle_is_fetched_and_switched(
    opa: Deployed, engine: OpaServer, opa_binary: Path, tmp_path: Path
) -> None:
    """The signed bundle answers; the next one is there as soon as it is published, by long polling."""
    first = await known(engine, bundle.shipped_archive())
    assert await engine.start(20.0), (engine.check(), opa.log.read_text())
    assert engine.active is not None
    decision = await engine.active.evaluate(HEALTH)
    assert (engine.active.revision, decision.allow, decision.reason) == (first, True, "public_route")
    other = await asyncio.to_thread(altered_policy, opa_binary, tmp_path)
    second = await known(engine, other)
    assert second != first
    while not any("wait=30" in poll for poll in opa.bundles.polls):
        await asyncio.sleep(0.02)
    opa.bundles.put(bundle.sign(other, opa.signer.signing, 2))
    while engine.active.revision == first:
        await engine.active.evaluate(HEALTH)
        await asyncio.sleep(0.02)
    assert engine.active.revision == second
    assert (await engine.active.evaluate(HEALTH)).allow


async def test_a_bundle_without_its_signature_is_not_activated(
    opa: Deployed, engine: OpaServer, opa_binary: Path, tmp_path: Path
) -> None:
    """Stripped of its signature, or signed by another key under the same name: the old one goes on."""
    first = await known(engine, bundle.shipped_archive())
    assert await engine.start(20.0), (engine.check(), opa.log.read_text())
    other = await asyncio.to_thread(altered_policy, opa_binary, tmp_path)
    await known(engine, other)
    stranger = make_signer(tmp_path / "persisted", "release")
    for archive in (other, bundle.sign(other, stranger.signing, 2)):
        errors = opa.log.read_text().count("Bundle load failed")
        opa.bundles.put(archive)
        while opa.log.read_text().count("Bundle load failed") == errors:
            await asyncio.sleep(0.02)
        assert engine.active is not None
        decision = await engine.active.evaluate(HEALTH)
        assert (engine.active.revision, decision.allow) == (first, True)


async def test_a_restart_without_the_bundle_server_goes_on(
    opa: Deployed, engine: OpaServer, opa_binary: Path, tmp_path: Path
) -> None:
    """The last bundle is kept on the disk: OPA starts with it while nobody serves bundles."""
    await known(engine, bundle.shipped_archive())
    assert await engine.start(20.0)
    wait_for("a persisted bundle", lambda: list((tmp_path / "persisted").rglob("bundle.tar.gz")))
    opa.process.kill()
    opa.process.wait()
    opa.bundles.put(b"garbage")
    with deployed(opa_binary, tmp_path, opa.bundles, opa.signer) as again:
        client = OpaClient(Place("localhost", 1, socket=again.socket), token_file=tmp_path / "token")
        second = OpaServer(client, deadline_seconds=5.0)
        await known(second, bundle.shipped_archive())
        assert await second.start(20.0), (second.check(), opa.log.read_text())
        await second.close()


CLOSED = [
    ("PUT", "/v1/policies/x", TOKEN),
    ("GET", "/v1/policies", TOKEN),
    ("PUT", "/v1/data/authz/roles", TOKEN),
    ("PATCH", "/v1/data", TOKEN),
    ("GET", "/v1/data/authz/decision", TOKEN),
    ("POST", "/v1/data/authz", TOKEN),
    ("POST", "/v1/data/authz/decision/allow", TOKEN),
    ("POST", "/v1/data/authz%2Fdecision", TOKEN),
    ("POST", "/v1/data/system/authz/allow", TOKEN),
    ("POST", "/v0/data/authz/decision", TOKEN),
    ("POST", "/v1/query", TOKEN),
    ("POST", "/v1/compile", TOKEN),
    ("GET", "/v1/config", TOKEN),
    ("GET", "/v1/status", TOKEN),
    ("POST", "/", TOKEN),
    ("POST", "/v1/data/authz/decision", ""),
    ("POST", "/v1/data/authz/decision", "another"),
    ("POST", "/v1/data/authz/decision", hashlib.sha256(TOKEN.encode()).hexdigest()),
    ("GET", "/metrics", ""),
]
OPEN = [
    ("POST", "/v1/data/authz/decision", TOKEN),
    ("POST", "/v1/data/authz/decisions", TOKEN),
    ("GET", "/metrics", TOKEN),
    ("GET", "/health", ""),
]


async def test_the_api_is_for_decisions_only(opa: Deployed, engine: OpaServer) -> None:
    """With the token the rules of the contract, without it the health check: nothing else, for nobody."""
    await known(engine, bundle.shipped_archive())
    assert await engine.start(20.0)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(opa.socket))) as session:

        async def status(method: str, path: str, token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            url = f"http://localhost{path}"
            async with session.request(method, url, data=b'{"input":{}}', headers=headers) as response:
                return response.status

        assert [(each, await status(*each)) for each in CLOSED] == [(each, 401) for each in CLOSED]
        assert [(each, await status(*each)) for each in OPEN] == [(each, 200) for each in OPEN]


async def test_a_token_that_is_replaced_needs_no_restart(opa: Deployed, tmp_path: Path) -> None:
    """A wrong token is 401 and `engine_unavailable`, and said so; the right one in its place is taken from the file."""
    file = tmp_path / "token"
    file.write_text("yesterday's")
    server = OpaServer(OpaClient(Place("localhost", 1, socket=opa.socket), token_file=file), deadline_seconds=5.0)
    found = bundle.read_shipped()
    catalogue, searches = await asyncio.to_thread(catalogue_of, found)
    policy = server.know(found.revision, catalogue, found.entrypoints, searches)
    try:
        assert not await server.start(0.0)
        while "401" not in server.check().detail:
            await asyncio.sleep(0.02)
        assert await policy.evaluate(HEALTH) is UNAVAILABLE
        file.write_text(f"{TOKEN}\n")
        assert await server.breaker.wait(20.0)
        assert (await policy.evaluate(HEALTH)).allow
    finally:
        await server.close()


def test_an_opa_without_the_digest_serves_nobody(opa_binary: Path) -> None:
    """Where AUTHZ_OPA_TOKEN_SHA256 is not set, or empty, no token opens anything."""
    asked = '{"method":"POST","path":["v1","data","authz","decision"],"identity":"x"}'
    for environment in ({}, {"AUTHZ_OPA_TOKEN_SHA256": ""}):
        command = [str(opa_binary), "eval", "--format", "raw", "--data", str(DEPLOY / "authz.rego"), "--stdin-input"]
        done = subprocess.run(
            [*command, "data.system.authz.allow"],
            input=asked,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        assert done.stdout.strip() == "false"
