"""A revision switch under load: nobody notices."""

import asyncio
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz import bundle
from tests.activation.policies import followed, in_force, members_of, put, signed
from tests.bundle.signers import make_signer
from tests.http.conftest import Running, Start

ROLES = int(os.environ.get("AUTHZ_TEST_ROLES", "2000"))
CONNECTIONS = 64
PAUSE_MS = 20.0


def with_roles(members: dict[str, bytes], roles: int) -> dict[str, bytes]:
    """The same policy with so many more roles, of twelve scopes each."""
    data = json.loads(members[bundle.DATA])
    authz = data["authz"]
    scopes = list(authz["scopes"])[:12]
    for number in range(roles):
        authz["roles"][f"team-{number:05}"] = {"description": "A team of the load test.", "scopes": scopes}
        authz["closure"]["roles"][f"team-{number:05}"] = dict.fromkeys(scopes, 253402300799)
    return {**members, bundle.DATA: json.dumps(data).encode()}


class Sampler:
    """Measures how long the loop's thread computes, and how long everybody waits, between two of its own turns."""

    def __init__(self) -> None:
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            cpu, wall = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0.001)
            self.cpu_ms.append((time.thread_time() - cpu) * 1000)
            self.wall_ms.append((time.perf_counter() - wall) * 1000 - 1)

    def worst(self) -> tuple[float, float]:
        """The longest of each, and begin anew."""
        found = round(max(self.cpu_ms), 1), round(max(self.wall_ms), 1)
        self.cpu_ms.clear()
        self.wall_ms.clear()
        return found


@pytest.fixture
def _calm_collector() -> Iterator[None]:
    """The garbage collector as `authz serve` sets it: all that the tests have made so far is left alone."""
    threshold = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("_calm_collector")
async def test_a_switch_under_load_fails_no_request_and_mixes_no_revision(start: Start, tmp_path: Path) -> None:
    """64 connections, thousands of roles: all answers are 200, each record of one revision, and hardly a pause."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(with_roles(members_of("r1"), ROLES), release, 1))
    archive = signed(with_roles(members_of("r2"), ROLES), release, 2)
    # The deadline of an evaluation is by the clock: on a machine that is busy with others it is not what is tried here.
    running = await start(**followed(source, release, deadline_seconds=1.0))
    load = await _load(running)
    sampler = Sampler()
    await asyncio.sleep(2)
    sampling = asyncio.create_task(sampler.run())
    await asyncio.sleep(3)
    quiet = sampler.worst()
    began = time.monotonic()
    await asyncio.to_thread(put, source, archive)
    await in_force(running, "r2", 200)
    took = time.monotonic() - began
    await asyncio.sleep(1)
    during = sampler.worst()
    sampling.cancel()
    load.terminate()
    report = json.loads((await load.communicate())[0])

    print(f"\n{ROLES} roles, bundle of {len(archive) / 1e6:.1f} MB, in force after {took:.1f} s; {report}")
    print(f"longest turn of the loop in ms, of computing and by the clock: quiet {quiet}, during the switch {during}")
    assert set(report["statuses"]) == {"200"}, Counter(
        (each["reason"], each["revision"]) for each in await running.events(limit=1_000_000) if "dialect" in each
    )
    assert report["lost_connections"] == 0
    # Computing and not the clock: the machine may be busy with others. A turn also serves everybody who is ready.
    assert during[0] - quiet[0] < PAUSE_MS
    events = await running.events(limit=1_000_000)
    decisions = [each["revision"] for each in reversed(events) if "dialect" in each]
    assert set(decisions) == {"r1", "r2"}
    first = decisions.index("r2")
    assert len(decisions) - first > decisions[first:].count("r1") * 10, "only those under way were still of r1"


async def _load(running: Running) -> asyncio.subprocess.Process:
    token = running.token("alice", "user_basic")
    request = f"GET /check/envoy/memory HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\n\r\n"
    port = running.decision.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.bench.load", "127.0.0.1", port, str(CONNECTIONS), "600"]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(request.encode())
    process.stdin.close()
    return process
