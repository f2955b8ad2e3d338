"""What a witness adds to a checkpoint, as Go sees it."""

from pathlib import Path

import pytest

from authz.tlog import CosignerSigner
from authz.witness import Store, Witness
from tests.tlog.conftest import Oracle
from tests.witness.logs import COSIGNER, NOW, ORIGIN, SIGNER, Log

pytestmark = pytest.mark.slow


def test_go_verifies_a_cosigned_checkpoint(oracle: Oracle, tmp_path: Path) -> None:
    """Both signatures with both keys, the witness's alone with its own; not with another, nor under another text."""
    log, key = Log(), str(SIGNER.verifier.named(ORIGIN))
    answer = Witness([SIGNER.verifier], COSIGNER, Store(tmp_path / "w.db"), lambda: NOW).add_checkpoint(log.body(0, 8))
    note, line = log.note(8) + answer, answer.decode().rstrip("\n")
    moved = log.note(9) + answer
    stranger = CosignerSigner(COSIGNER.name, bytes(32)).vkey
    asked = [
        {"Op": "open", "Note": text, "Keys": keys}
        for text, keys in (
            (note, [key, COSIGNER.vkey]),
            (note, [COSIGNER.vkey]),
            (note, [stranger]),
            (moved, [key, COSIGNER.vkey]),
        )
    ]
    both, alone, other, under_another = oracle.ask(asked)
    assert (both.error, both.text, both.verified[1:] if both.verified else None) == (
        "",
        log.checkpoint(8).text(),
        [line],
    )
    assert (alone.error, alone.verified) == ("", [line])
    assert other.error == "note has no verifiable signatures"
    assert under_another.error.startswith("invalid signature for key")
