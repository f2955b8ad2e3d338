"""Variants of the shipped policy, made without an `opa`: other data, another revision; and where they are put."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from authz import bundle
from tests.bundle.signers import Signer
from tests.http.conftest import Running


def members_of(revision: str, *, without: str = "", cases: Any = None) -> dict[str, bytes]:
    """The shipped policy under another revision; `user_basic` does not hold the scope `without`."""
    members = dict(bundle.read_shipped().members)
    manifest = json.loads(members[bundle.MANIFEST])
    members[bundle.MANIFEST] = json.dumps({**manifest, "revision": revision}).encode()
    if without:
        data = json.loads(members[bundle.DATA])
        del data["authz"]["closure"]["roles"]["user_basic"][without]
        members[bundle.DATA] = json.dumps(data).encode()
    if cases is not None:
        members[bundle.CASES] = json.dumps({"cases": cases}).encode()
    return members


def signed(members: Mapping[str, bytes], signer: Signer, sequence: int) -> bytes:
    """The members as a signed bundle."""
    return bundle.sign(bundle.pack(members), signer.signing, sequence)


def put(path: Path, archive: bytes) -> None:
    """Replace a bundle as a deployment does."""
    beside = path.with_name("beside")
    beside.write_bytes(archive)
    beside.replace(path)


def followed(path: Path | str, *signers: Signer, **more: Any) -> dict[str, Any]:
    """Settings that follow a source, signed by these."""
    keys = [{"id": each.key_id, "file": str(each.public)} for each in signers]
    flags = {"policy.source": str(path), "policy.keys": keys, "policy.poll_seconds": 0.1}
    return {**flags, **{f"policy.{name}": value for name, value in more.items()}}


async def in_force(running: Running, revision: str, seconds: float = 60.0) -> None:
    """Wait until a revision is in force."""
    await until(lambda: running.pdp.policies.active.revision == revision, f"{revision} in force", seconds)


async def rejected(running: Running, reason: str, sha256: str, seconds: float = 60.0) -> dict[str, Any]:
    """Wait until this very bundle was rejected, and give the event."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = [e for e in await running.events(type="policy.rejected") if e["sha256"] == sha256]
        if found and found[0]["reason"] == reason:
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"{reason} was not recorded within {seconds} s: {running.pdp.following.status().rejected}")


async def until(ready: Any, what: str, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.02)
