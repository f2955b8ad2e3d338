"""Sidecar, its auditor and another team's witness, each a process: the node's checkpoint leaves the house."""

import json
import shutil
import signal
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from authz.tlog import CosignerKey, VerifierKey, checkpoint_of, cosignature_time, open_note
from tests.processes import Sidecar, sidecar, wait_for
from tests.witness.processes import WitnessProcess, witness_process

from .test_commands import authz

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _ask(running: Sidecar, times: int) -> None:
    """So many decisions."""
    question = {
        "subject": {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}},
        "action": {"name": "GET"},
        "resource": {"type": "route", "id": "/memory"},
    }
    for _ in range(times):
        request = Request(
            f"{running.decision}/access/v1/evaluation",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as response:
            assert json.load(response)["decision"] is True


def _outside(witness: WitnessProcess, anchor: Path) -> dict[str, str]:
    """The environment that states one witness and one anchor."""
    return {
        "AUTHZ_AUDIT__WITNESSES": json.dumps([{"url": witness.url, "key": str(witness.key)}]),
        "AUTHZ_AUDIT__ANCHORS": json.dumps([{"to": f"file:{anchor}", "every_seconds": 1}]),
    }


def _status(state: Path) -> list[dict[str, object]]:
    """How witness and anchor are; nothing before the auditor knows of them."""
    outward = json.loads((state / "auditor" / "status.json").read_text())["outward"]
    return [*outward["witnesses"], *outward["anchors"]]


def _made_key(state: Path) -> Path:
    """The node's public key; a first life makes it."""
    with sidecar(state) as running:
        _ask(running, 1)
        wait_for("the first checkpoint", (state / "audit" / "tiles" / "auditor" / "checkpoint").exists)
        assert running.stop(signal.SIGTERM) == 0
    pinned = state.with_name("audit.pub")
    shutil.copy(state / "keys" / "audit.pub", pinned)
    return pinned


def _signed_by(note: bytes, *keys: VerifierKey | CosignerKey) -> list[str]:
    return [each.name for each in open_note(note, list(keys)).signatures]


def test_the_nodes_checkpoint_is_cosigned_and_kept_elsewhere(tmp_path: Path) -> None:
    """Published and held by witness and anchor with both signatures; verified against either; shown as metrics."""
    state, anchor = tmp_path / "state", tmp_path / "anchor"
    anchor.mkdir()
    pinned = _made_key(state)
    node = VerifierKey.read(pinned.read_text().split("\n")[0])
    origin = f"{node.name}/auditor"
    own = node.named(origin)
    published = state / "audit" / "tiles" / "auditor" / "checkpoint"
    latest = anchor / quote(origin, safe="") / "latest"
    with witness_process(tmp_path / "witness", logs=[str(pinned)]) as witness:
        with sidecar(state, environment=_outside(witness, anchor)) as running:
            for _ in range(3):
                _ask(running, 5)
                wait_for("a cosignature", lambda: len(_signed_by(published.read_bytes(), own, witness.key)) == 2)
            wait_for(
                "metrics", lambda: f'authz_audit_anchor_age_seconds{{anchor="file:{anchor}"}}' in running.metrics()
            )
            ages = [
                running.metrics()[f'authz_audit_{kind}_age_seconds{{{kind}="{name}"}}']
                for kind, name in (("witness", witness.key.name), ("anchor", f"file:{anchor}"))
            ]
            assert running.stop(signal.SIGTERM) == 0
        with urlopen(f"{witness.url}/checkpoint/{quote(origin, safe='')}", timeout=10) as response:
            witnessed = response.read()
    elsewhere = tmp_path / "witnessed"
    elsewhere.write_bytes(witnessed)
    notes = [published.read_bytes(), witnessed, latest.read_bytes()]
    assert [_signed_by(each, own, witness.key) for each in notes] == [[origin, witness.key.name]] * 3
    assert len({checkpoint_of(open_note(each, [own]), origin) for each in notes}) == 1
    assert cosignature_time(open_note(witnessed, [witness.key]).signatures[0]) > 1_700_000_000
    assert max(ages) < 60
    verified = authz(
        "audit", "verify", str(state), "--no-remember", "--public-key", str(pinned),
        "--since", str(latest), "--since", str(elsewhere),
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout


def test_a_node_that_was_put_back_is_told_by_those_outside(tmp_path: Path) -> None:
    """All of its disk, key and memory included, restored from a copy: signing goes on, and both say what it is."""
    state, anchor, snapshot = tmp_path / "state", tmp_path / "anchor", tmp_path / "snapshot"
    anchor.mkdir()
    pinned = _made_key(state)
    shutil.copytree(state, snapshot)
    with witness_process(tmp_path / "witness", logs=[str(pinned)]) as witness:
        outside = _outside(witness, anchor)
        with sidecar(state, environment=outside) as running:
            _ask(running, 3)
            wait_for("both", lambda: [bool(each["size"]) for each in _status(state)] == [True, True])
            assert running.stop(signal.SIGTERM) == 0
        before = _status(state)
        shutil.rmtree(state)
        shutil.copytree(snapshot, state)
        with sidecar(state, environment=outside) as running:
            wait_for("alarm", lambda: [each["disagrees"] for each in _status(state)] == [True, True])
            places = (witness.key.name, f"file:{anchor}")
            shown = [f'authz_audit_history_disagrees{{place="{place}"}}' for place in places]
            wait_for("metrics", lambda: [running.metrics().get(each) for each in shown] == [1.0, 1.0])
            with urlopen(f"{running.admin}/readyz", timeout=10) as response:
                damage = json.load(response)["checks"]["damage"]["detail"]
            running.stop(signal.SIGTERM)
            logs = running.logs()
    assert [each["error"] for each in before] == [None, None]
    for place in places:
        assert f"{place} remembers another history than the one here" in damage
    assert logs.count("outward_disagrees") >= 2
    (latest,) = anchor.glob("*/latest")
    verified = authz(
        "audit", "verify", str(state), "--no-remember", "--public-key", str(pinned), "--since", str(latest)
    )
    assert verified.returncode == 1, verified.stdout


def test_a_witness_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    """Before anything is written: exit 2 and the key of the setting."""
    environment = {"AUTHZ_AUDIT__WITNESSES": '[{"url": "http://witness.example", "key": "x"}]'}
    said = authz("serve", "--dev", "--state", str(tmp_path / "state"), environment=environment)
    assert (said.returncode, "audit.witnesses[0].key: verifier key" in said.stderr) == (2, True)
    assert not (tmp_path / "state").exists()
