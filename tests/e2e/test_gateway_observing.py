"""The observe variant of each shipped configuration: everything passes, and what would have been is recorded."""

from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import decisions_in, stack_of
from tests.e2e.gateways import Gateway
from tests.processes import Sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REQUESTS = (("GET", "/memory"), ("PUT", "/admin/config"), ("GET", "/memory/..%20"), ("GET", "/health"))
COUNTERS = tuple(
    f"authz_{name}_total{{"
    for name in ("decisions", "requests", "scope_requests", "auth_failures", "observed_decisions", "observed_requests")
)


def test_observing_blocks_nothing_and_records_everything(gateway: Gateway, tmp_path: Path) -> None:
    """Whatever is decided, a request passes, without an identity that was denied; nothing is counted as enforced."""
    configuration = tmp_path / "authz.toml"
    configuration.write_text('[[callers]]\nname = "observer"\nvia = "loopback"\nobserve = true\n')
    with (
        stack_of(gateway, tmp_path, "--dev", "--config", str(configuration), file=gateway.observing) as stack,
        Client(stack.url) as client,
    ):
        claimed = {"X-Authz-Subject": "root", "X-Authz-Roles": "admin", **stack.bearer()}
        statuses = [client.send(method, path, claimed).status for method, path in REQUESTS]
        recorded = wait_for("the records", lambda: _decisions(stack.sidecar.state))
        counted = wait_for("the counts", lambda: _counted(stack.sidecar))
        stack.sidecar.stop()
        without = [client.send(method, path, claimed).status for method, path in REQUESTS]

        assert {name.partition("{")[0] for name in counted} == {
            "authz_observed_decisions_total",
            "authz_observed_requests_total",
        }
        alone = "observing alone" not in gateway.lacks
        assert (statuses, without) == ([200] * 4, ([200] if alone else [gateway.silent[0]]) * 4)
        assert recorded == {
            ("GET", "allow", "scope_granted", False),
            ("PUT", "deny", "scope_missing", False),
            ("GET", "deny", "ambiguous_path", False),
            ("GET", "allow", "public_route", False),
        }
        assert [(seen.method, seen.target) for seen in stack.upstream.seen] == [*REQUESTS, *(REQUESTS * alone)]
        assert {seen.one("x-authz-subject") or "" for seen in stack.upstream.seen} <= {"", "alice"}
        denied = [seen for seen in stack.upstream.seen if (seen.method, seen.target) in REQUESTS[1:3]]
        assert {seen.one("x-authz-subject") or "" for seen in denied} == {""}


def _counted(sidecar: Sidecar) -> dict[str, float] | None:
    """What is counted, once it is each decision and each request: a request is when its answer has been sent."""
    counted = {name: n for name, n in sidecar.metrics().items() if n and name.startswith(COUNTERS)}
    return counted if sum(counted.values()) == 2 * len(REQUESTS) else None


def _decisions(state: Path) -> set[tuple[str, str, str, bool]] | None:
    """What was decided, once there are as many decisions as requests: a mirror's come a little later."""
    events = decisions_in(state, 20)
    decided = {(each["action"], each["decision"], each["reason"], each.get("enforced", True)) for each in events}
    return decided if len(events) == len(REQUESTS) else None
