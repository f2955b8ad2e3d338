"""`GET /v1/audit/proof/{id}`: the proof of a decision, for whoever may read the ledger."""

from pathlib import Path

from authz.audit import check_proof
from authz.tlog import VerifierKey
from tests.audit.published import publish

from .conftest import Running

ASKED = {
    "subject": {"type": "user", "id": "alice"},
    "action": {"name": "GET"},
    "resource": {"type": "route", "id": "/x"},
}


def _sign(state: Path) -> VerifierKey:
    """What the auditor would do."""
    for directory in sorted(path.parent for path in (state / "audit").glob("*/*.jsonl")):
        publish(state, directory.name)
    return VerifierKey.read((state / "keys" / "audit.pub").read_text().strip())


async def _decided(running: Running) -> str:
    answer = await running.evaluate(ASKED)
    assert answer.status == 200
    return answer.headers["x-decision-id"]


async def test_whoever_may_read_the_ledger_gets_a_proof(running: Running) -> None:
    """It is checked with the node's public key alone, and it is of that decision."""
    decision = await _decided(running)
    key = _sign(running.state)
    token = running.token("root", "admin", scopes=["admin:audit:read"])
    answer = await running.send("GET", f"{running.admin}/v1/audit/proof/{decision}", token=token)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    found = check_proof(answer.body, None, [key])
    assert (found.header.id, found.header.type) == (decision, "auth.scope_denied")
    place = f"{found.checkpoint.origin.rpartition('/')[2]}/{found.header.seq}"
    again = await running.send("GET", f"{running.admin}/v1/audit/proof/{place}", token=token)
    assert again.body == answer.body


async def test_what_is_not_covered_yet_or_not_there_is_404(running: Running) -> None:
    """With a sentence that says which."""
    first = await _decided(running)
    token = running.token("root", "admin", scopes=["admin:audit:read"])
    url = f"{running.admin}/v1/audit/proof"
    early = await running.send("GET", f"{url}/{first}", token=token)
    assert (early.status, "there is no checkpoint yet" in early.body["detail"]) == (404, True)
    _sign(running.state)
    second = await _decided(running)
    late = await running.send("GET", f"{url}/{second}", token=token)
    assert (late.status, "is not under a checkpoint yet" in late.body["detail"]) == (404, True)
    unknown = await running.send("GET", f"{url}/no%2Fsuch", token=token)
    assert (unknown.status, unknown.body["detail"]) == (404, "there is no event 'no/such'")
    assert (await running.send("GET", f"{url}/", token=token)).status == 404


async def test_it_takes_the_scope_of_the_ledger(running: Running) -> None:
    """As the events themselves; and asking is recorded."""
    decision = await _decided(running)
    _sign(running.state)
    token = running.token("alice", "user")
    answer = await running.send("GET", f"{running.admin}/v1/audit/proof/{decision}", token=token)
    assert answer.status == 403
    [recorded] = await running.events(type="admin.access")
    assert (recorded["decision"], recorded["resource"]) == ("deny", {"type": "scope", "id": "admin:audit:read"})
