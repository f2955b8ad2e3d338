"""Two sidecars, one Valkey: one budget."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from authz.identity import mint_token
from tests.e2e.client import Client
from tests.e2e.limited import COUNT, limited_policy
from tests.limits.valkey import Valkey, valkey
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
__all__ = ["limited_policy", "valkey"]


@pytest.fixture
def pair(tmp_path: Path, valkey: Valkey, limited_policy: Path) -> Iterator[tuple[Sidecar, Sidecar]]:
    """Two sidecars that trust the same development issuer and share their limits."""
    key = tmp_path / "limits.key"
    key.write_bytes(b"s" * 32)
    key.chmod(0o600)
    configuration = tmp_path / "authz.toml"
    configuration.write_text(
        f'[limits.shared]\nurl = "{valkey.url}"\nkey_file = "{key}"\ntimeout_seconds = 5.0\nwhen_away = "deny"\n'
    )
    arguments = ("--dev", "--policy", str(limited_policy), "--config", str(configuration))
    with sidecar(tmp_path / "a", *arguments) as first, sidecar(tmp_path / "b", *arguments) as second:
        yield first, second


def _check(running: Sidecar) -> int:
    with Client(running.decision) as client:
        token = mint_token(running.state, "alice", ("user_premium",), None)
        return client.send("POST", "/check/envoy/memory/search", {"Authorization": f"Bearer {token}"}).status


def test_a_burst_over_two_sidecars_is_one_burst(pair: tuple[Sidecar, Sidecar], valkey: Valkey) -> None:
    """Of forty checks at once, half here and half there, as many pass as the limit says; without the server, none."""
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(_check, pair * 20))
    assert Counter(statuses) == {200: COUNT, 429: 40 - COUNT}
    valkey.process.kill()
    valkey.process.wait()
    assert {_check(each) for each in pair} == {503}
    assert all(each.metrics()["authz_limits_away_total"] == 1 for each in pair)
