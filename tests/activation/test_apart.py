"""Examinations in a process of their own."""

from pathlib import Path

import pytest

from authz import bundle
from authz.activation.apart import examined_apart
from authz.engine import EmbeddedPolicy
from authz.engine.compiled import Native
from authz.examination import Trust, TrustedKey, examine
from tests.activation.policies import members_of, signed
from tests.bundle.signers import make_signer


@pytest.mark.slow
async def test_what_an_examination_worked_out_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds what an examination here finds, and nothing has to be compiled here."""
    release = make_signer(tmp_path, "release")
    archive = signed(members_of("r1"), release, 1)
    trust = Trust(None, (TrustedKey("release", release.public.read_text(), None),), 1, 1 << 24)

    examined, compiled = await examined_apart(archive, trust)

    assert examined == examine(archive, trust)
    monkeypatch.setattr(Native, "compile", None)
    found = bundle.read(archive)
    policy = EmbeddedPolicy.load(found.wasm, found.data_json, found.revision, compiled=compiled)
    assert "user_basic" in policy.catalogue.roles
    policy.close()
