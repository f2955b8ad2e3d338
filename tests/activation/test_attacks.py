"""Attacks on bundles, on a decision point that follows a file: each refused, the old policy serving, and told."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from authz import bundle
from tests.activation.policies import followed, in_force, members_of, put, rejected, signed
from tests.bundle.signers import SIGNATURES, Signer, claims_of, make_signer, token, with_tokens
from tests.http.conftest import Start


def tarred(members: Mapping[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive with entries that `bundle.pack` would not write."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry, content in [*((tarfile.TarInfo(name), content) for name, content in members.items()), *more]:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def attacks(release: Signer, stranger: Signer) -> dict[str, tuple[str, bytes]]:
    """Each attack by name: the reason it has to be refused for, and the bundle."""
    good = bundle.read(signed(members_of("r2"), release, 6)).members
    stripped = {name: content for name, content in good.items() if name != SIGNATURES}
    evil = {**good, "data.json": good["data.json"].replace(b"memory:read", b"memory:rEad")}
    posing = token(stranger.signing._replace(key_id="release"), claims_of(stripped, sequence=6))
    link = tarfile.TarInfo("authz/link.rego")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    bomb = gzip.compress(bytes(1 << 20), 9, mtime=0) * 128
    return {
        "stripped signature": ("bundle_unsigned", bundle.pack(stripped)),
        "empty signatures": ("bundle_signature", bundle.pack({**stripped, SIGNATURES: b'{"signatures":[]}'})),
        "wrong key": ("bundle_unsigned", signed(stripped, stranger, 6)),
        "wrong key in the right one's name": ("bundle_signature", bundle.pack(with_tokens(stripped, posing))),
        "the keyid bypass": (
            "bundle_unsigned",
            bundle.pack(with_tokens(evil, token(stranger.signing, claims_of(evil, sequence=6), {"alg": "ES256"}))),
        ),
        "altered file": ("bundle_altered", bundle.pack(evil)),
        "added file": ("bundle_altered", bundle.pack({**good, "authz/more.rego": b"package authz.more"})),
        "missing file": ("bundle_altered", bundle.pack({n: c for n, c in good.items() if n != "authz/explain.rego"})),
        "duplicate file": ("bundle_refused", tarred(good, (tarfile.TarInfo("/data.json"), evil["data.json"]))),
        "traversal": ("bundle_refused", tarred(good, (tarfile.TarInfo("../../etc/cron.d/x"), b"x"))),
        "link": ("bundle_refused", tarred(good, (link, b""))),
        "zip bomb": ("bundle_refused", bomb),
        "truncated": ("bundle_refused", bundle.pack(good)[:-1000]),
        "lower sequence": ("bundle_sequence", signed(members_of("r0"), release, 4)),
        "same sequence, another policy": ("bundle_sequence", signed(members_of("r5"), release, 5)),
        "same revision, another policy": (
            "bundle_conflict",
            signed(members_of("r1", without="memory:read"), release, 7),
        ),
        "revision that leads elsewhere": ("bundle_refused", bundle.pack({**good, ".manifest": manifest("../../x")})),
        "larger than is read": ("bundle_refused", bundle.pack({**good, "authz/big.rego": bytes(2_000_000)})),
    }


def manifest(revision: str) -> bytes:
    found = json.loads(bundle.read_shipped().members[".manifest"])
    return json.dumps({**found, "revision": revision}).encode()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_attack_is_refused_and_told(start: Start, tmp_path: Path) -> None:
    """The old policy decides on, an event and a metric name the reason, and a good bundle is taken afterwards."""
    release, stranger = make_signer(tmp_path, "release"), make_signer(tmp_path, "stranger")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 5))
    running = await start(**followed(source, release, max_bytes=2_000_000))
    alice = running.token("alice", "user_basic")

    for name, (reason, archive) in attacks(release, stranger).items():
        before = running.counted("authz_policy_rejected_total", reason=reason)
        put(source, archive)
        # What is too large is read no further than it takes to know that.
        event = await rejected(running, reason, hashlib.sha256(archive[:2_000_001]).hexdigest())
        assert (name, event["active"]) == (name, "r1")
        assert running.pdp.policies.active.revision == "r1", name
        assert (await running.check("GET", "/memory", token=alice)).status == 200, name
        assert running.counted("authz_policy_rejected_total", reason=reason) == before + 1, name

    put(source, signed(members_of("r9", without="memory:read"), release, 9))
    await in_force(running, "r9")
    assert (await running.check("GET", "/memory", token=alice)).status == 403
    kept = [each.name for each in sorted((tmp_path / "state" / "bundles").glob("*.tar.gz"))]
    assert kept == ["r1.tar.gz", "r9.tar.gz"]
