"""A node's side against a witness that is a process of its own, and dies."""

import asyncio
import itertools
import signal
from pathlib import Path

import pytest

from authz.anchoring import anchoring, pace
from authz.config import WitnessSettings
from authz.tlog import CosignerKey
from tests.witness.logs import cosigned_at
from tests.witness.processes import witness_process

from .outside import soon
from .test_anchoring import house

pytestmark = pytest.mark.slow


async def test_a_witness_that_dies_again_and_again_is_caught_up_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it is asked: when it is back it cosigns what is newest then, and no cosignature is wrong."""
    monkeypatch.setattr(anchoring, "WITNESS_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(pace, "FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(pace, "LONGEST_RETRY_SECONDS", 0.2)
    state = tmp_path / "state"
    with witness_process(state) as witness:
        url, key = witness.url, witness.key
    cosigned: list[bytes] = []
    async with house(cosigned, witnesses=(WitnessSettings(url=url, key=str(key)),)) as own:
        sizes = itertools.count(1)
        for _ in range(3):
            with witness_process(state, "--listen", url.removeprefix("http://")) as witness:
                for _ in range(10):
                    own.grow(next(sizes))
                    await asyncio.sleep(0.003)
                witness.stop(signal.SIGKILL)
                own.grow(next(sizes))
                await soon("noticed", lambda: own.witness().error)
        with witness_process(state, "--listen", url.removeprefix("http://")):
            await soon("caught up", lambda: own.witness().size == own.size)
    seen = [_cosigned_size(note, key) for note in cosigned]
    assert (seen, seen[-1]) == (sorted(seen), 33)


def _cosigned_size(note: bytes, key: CosignerKey) -> int:
    """The size in a note that carries a good cosignature. Fails if it carries none."""
    signed, _, line = note.removesuffix(b"\n").rpartition(b"\n")
    assert cosigned_at(signed + b"\n", line, key) > 0
    return int(note.split(b"\n")[1])
