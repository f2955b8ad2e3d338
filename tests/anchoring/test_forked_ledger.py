"""A ledger rewritten with its real key: found by what a witness and an anchor, elsewhere, remember of it."""

import asyncio
import shutil
import sys
from pathlib import Path
from subprocess import run
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from authz.anchoring import AnchoringStatus, OutwardStatus
from authz.config import WitnessSettings
from authz.tlog import TileReader, read_checkpoint, split_note
from tests.audit.ledger import STREAM
from tests.audit.published import NODE, publish
from tests.audit.signed_ledger import NODE_STREAM, accessed, append, roll_up
from tests.witness.processes import WitnessProcess, witness_process

from .outside import soon
from .test_anchoring import house

pytestmark = pytest.mark.slow

ORIGIN = f"{NODE}/{NODE_STREAM}"


def _life(state: Path, since: int, subject: str = "h1:k:s") -> None:
    """Ten events, signed and rolled up."""
    append(state / "audit", STREAM, [accessed(number, subject) for number in range(since, since + 10)])
    publish(state, STREAM)
    roll_up(state, [STREAM])


async def _go_out(state: Path, anchor: Path, witness: WitnessProcess) -> AnchoringStatus:
    """Bring the node's newest checkpoint to the witness and to the anchor, and say how that went."""
    tiles = state / "audit" / "tiles" / NODE_STREAM
    note = (tiles / "checkpoint").read_bytes()
    size = read_checkpoint(split_note(note)[0]).size
    trusted = (WitnessSettings(url=witness.url, key=str(witness.key)),)
    async with house([], f"file:{anchor}", witnesses=trusted) as own:
        own.running.published(note, TileReader(lambda path: (tiles / path).read_bytes(), size))

        def said(one: OutwardStatus) -> bool:
            return one.size == size or one.error is not None

        await soon("said", lambda: said(own.witness()) and said(own.anchor()))
        return own.running.status()


def _verify(state: Path, *since: Path) -> int:
    """The exit code of `authz audit verify` with the pinned key and these checkpoints."""
    command = [sys.executable, "-m", "authz", "audit", "verify", str(state), "--no-remember"]
    command += ["--public-key", str(state.with_name("pinned.pub"))]
    for each in since:
        command += ["--since", str(each)]
    return run(command, capture_output=True, check=False, timeout=60).returncode


def test_a_ledger_rewritten_with_the_real_key_is_found(tmp_path: Path) -> None:
    """By the anchor and by the witness's own word; on its own disk it is flawless. Honest growth is not blamed."""
    state, anchor, elsewhere = tmp_path / "state", tmp_path / "anchor", tmp_path / "witnessed"
    anchor.mkdir()
    _life(state, 0)
    pinned = tmp_path / "pinned.pub"
    shutil.copy(state / "keys" / "audit.pub", pinned)
    with witness_process(tmp_path / "witness", logs=[str(pinned)]) as witness:
        honest = asyncio.run(_go_out(state, anchor, witness))
        with urlopen(f"{witness.url}/checkpoint/{quote(ORIGIN, safe='')}", timeout=10) as response:
            elsewhere.write_bytes(response.read())
        latest = anchor / quote(ORIGIN, safe="") / "latest"
        _life(state, 10)
        grown = [_verify(state), _verify(state, latest), _verify(state, elsewhere)]

        for gone in (STREAM, NODE_STREAM, "tiles"):
            shutil.rmtree(state / "audit" / gone)
        for since in (0, 10, 20):
            _life(state, since, "h1:k:invented")
        forked = [_verify(state), _verify(state, latest), _verify(state, elsewhere)]
        blamed = asyncio.run(_go_out(state, anchor, witness))

    assert [(each.size, each.error) for each in (*honest.witnesses, *honest.anchors)] == [(3, None)] * 2
    assert split_note(latest.read_bytes())[0] == split_note(elsewhere.read_bytes())[0]
    assert (grown, forked) == ([0, 0, 0], [0, 1, 1])
    assert [each.disagrees for each in (*blamed.witnesses, *blamed.anchors)] == [True, True]
