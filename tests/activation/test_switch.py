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
from typing import NamedTuple

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


class Turn(NamedTuple):
    """How long one turn of the loop took, in ms.

    `computing`: of its own thread. `held`: as long as the clock says, without the time in which the thread could have
    run and got no processor, and no longer than the whole process computed meanwhile: what other threads do while
    they hold the interpreter is in it, what other processes do is not. `clock`: as long as the clock says.
    """

    computing: float
    held: float
    clock: float


class Sampler:
    """Measures turns of the loop."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            thread, process, queued, clock = time.thread_time(), time.process_time(), _queued(), time.perf_counter()
            await asyncio.sleep(0.001)
            took = time.perf_counter() - clock - 0.001
            held = min(took - (_queued() - queued), time.process_time() - process)
            computing = time.thread_time() - thread
            self._turns.append(Turn(computing * 1000, held * 1000, took * 1000))

    def worst(self) -> Turn:
        """The longest of each, and begin anew."""
        found = Turn(*(round(max(each), 1) for each in zip(*self._turns, strict=True)))
        self._turns.clear()
        return found


def _queued() -> float:
    """How long this thread has waited for a processor so far, in seconds; always 0 where the kernel does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


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
    print(f"longest turns of the loop in ms: before {quiet}, during the switch {during}")
    assert set(report["statuses"]) == {"200"}, Counter(
        (each["reason"], each["revision"]) for each in await running.events(limit=1_000_000) if "dialect" in each
    )
    assert report["lost_connections"] == 0
    # Not the clock: the machine may be busy with others. A turn also serves everybody who is ready.
    assert during.held - quiet.held < PAUSE_MS
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
