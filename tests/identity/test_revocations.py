"""Revocations: what holds, for whom, and that no restart brings back what was revoked."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from authz.core import ConfigurationError
from authz.identity import IssuerSettings, Marks, RevocationKind, Revocations, RevocationsUnavailableError, Revoke
from tests.identity.conftest import ISSUER, NOW, FakeClock, Forge, Start, reason

MARKS = Marks(ISSUER, "ann", "t-1", "s-1", NOW)


@pytest.fixture
async def revocations(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Revocations]:
    opened = await Revocations.open(tmp_path / "revocations", clock)
    yield opened
    await opened.close()


def what(
    kind: RevocationKind, value: str = "", issuer: str = "", before: int | None = None, expires: int | None = None
) -> Revoke:
    return Revoke(kind, value, issuer, before, expires)


async def revoke(revocations: Revocations, revoked: Revoke, name: str = "r-1") -> None:
    await revocations.revoke(revoked, name, "h1:x:y", "on-call", "stolen")


@pytest.mark.parametrize(
    ("revoked", "holds"),
    [
        (what("subject", "ann"), True),
        (what("subject", "ann", ISSUER), True),
        (what("subject", "ann", "https://other.test"), False),
        (what("subject", "bob"), False),
        (what("jti", "t-1"), True),
        (what("jti", "t-1", ISSUER), True),
        (what("jti", "ann"), False),
        (what("session", "s-1"), True),
        (what("session", "t-1"), False),
        (what("issued_before", before=NOW + 1), True),
        (what("issued_before", before=NOW), False),
        (what("issued_before", issuer=ISSUER, before=NOW + 1), True),
        (what("issued_before", issuer="https://other.test", before=NOW + 1), False),
        (what("subject", "ann", before=NOW + 1), True),
        (what("subject", "ann", before=NOW), False),
        (what("subject", "bob", before=NOW + 1), False),
        (what("session", "s-1", before=NOW + 1), True),
    ],
)
async def test_what_is_revoked_is_revoked_and_nothing_else(
    revocations: Revocations, tmp_path: Path, clock: FakeClock, revoked: Revoke, holds: bool
) -> None:
    """By subject, token, session or moment, for one issuer or all; and the same after a restart."""
    assert revocations.holds(MARKS) is False
    await revoke(revocations, revoked)
    again = await Revocations.open(tmp_path / "revocations", clock)
    assert (revocations.holds(MARKS), again.holds(MARKS)) == (holds, holds)
    await again.close()


async def test_a_token_that_does_not_say_when_it_was_issued_is_older_than_any_moment(revocations: Revocations) -> None:
    """Without `iat` nobody can show that a token is newer."""
    await revoke(revocations, what("issued_before", before=1))
    assert revocations.holds(MARKS._replace(issued_at=None)) is True
    assert revocations.holds(MARKS) is False


async def test_lifting_one_leaves_the_others(revocations: Revocations, tmp_path: Path, clock: FakeClock) -> None:
    """Of two revocations of the same thing the other still holds; when both are lifted, none does."""
    await revoke(revocations, what("subject", "ann"), "r-1")
    await revoke(revocations, what("subject", "ann", before=NOW + 1), "r-2")
    assert await revocations.lift("r-1") is not None
    assert (revocations.holds(MARKS), revocations.holds(MARKS._replace(issued_at=NOW + 1))) == (True, False)
    assert await revocations.lift("r-2") is not None
    assert (revocations.holds(MARKS), len(revocations)) == (False, 0)
    assert await revocations.lift("r-2") is None
    again = await Revocations.open(tmp_path / "revocations", clock)
    assert len(again) == 0
    await again.close()


async def test_a_revocation_ends_with_its_token(revocations: Revocations, tmp_path: Path, clock: FakeClock) -> None:
    """When the end of the token is known, nothing of it is kept beyond, the longest leeway included."""
    await revoke(revocations, what("jti", "t-1", expires=NOW + 60))
    kept = []
    for seconds in (60 + 299, 1):
        clock.advance(seconds)
        again = await Revocations.open(tmp_path / "revocations", clock)
        kept.append((len(again), len(await again.listed(10, ""))))
        await again.close()
    assert kept == [(1, 1), (0, 0)]


async def test_pages_are_the_newest_first(revocations: Revocations) -> None:
    """A page after an ID goes on below it."""
    for n in range(5):
        await revoke(revocations, what("jti", f"t-{n}"), f"r-{n}")
    first = await revocations.listed(2, "")
    second = await revocations.listed(2, first[-1].id)
    assert [each.id for each in (*first, *second)] == ["r-4", "r-3", "r-2", "r-1"]


async def test_nothing_on_disk_names_anybody(revocations: Revocations, tmp_path: Path) -> None:
    """What is revoked is there as a digest under a key of its own, which only this user reads."""
    await revoke(revocations, what("subject", "ann-smith"), "r-1")
    await revoke(revocations, what("jti", "token-77"), "r-2")
    await revoke(revocations, what("session", "session-9"), "r-3")
    files = [path for path in (tmp_path / "revocations").iterdir() if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert not any(name in kept for name in (b"ann-smith", b"token-77", b"session-9"))
    assert (tmp_path / "revocations" / "digest.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("harm", ["key gone", "file gone", "key short", "file damaged", "file no database"])
async def test_a_store_that_is_not_whole_is_no_start(
    revocations: Revocations, tmp_path: Path, clock: FakeClock, harm: str
) -> None:
    """What was revoked must not come back because a file is missing or damaged."""
    await revoke(revocations, what("subject", "ann"))
    file, key = tmp_path / "revocations" / "revocations.db", tmp_path / "revocations" / "digest.key"
    if harm == "key gone":
        key.unlink()
    elif harm == "file gone":
        file.unlink()
    elif harm == "key short":
        key.write_bytes(key.read_bytes()[:31])
    elif harm == "file damaged":
        whole = bytearray(file.read_bytes())
        whole[4096:4196] = b"\xff" * 100
        file.write_bytes(whole)
    else:
        file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigurationError, match="revocations"):
        await Revocations.open(tmp_path / "revocations", clock)


async def test_what_could_not_be_written_does_not_hold(
    revocations: Revocations, tmp_path: Path, clock: FakeClock
) -> None:
    """Another process holds the file: an error, and memory says no more than the disk."""
    other = sqlite3.connect(tmp_path / "revocations" / "revocations.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    revocations._store._connection.execute("PRAGMA busy_timeout=0")
    with pytest.raises(RevocationsUnavailableError, match="locked"):
        await revoke(revocations, what("subject", "ann"))
    other.execute("ROLLBACK")
    other.close()
    assert (revocations.holds(MARKS), revocations.generation) == (False, 0)


async def test_a_remembered_token_is_refused_at_once(
    start: Start, settings: IssuerSettings, forge: Forge, revocations: Revocations
) -> None:
    """Verified and remembered, then revoked: the next look refuses it, and lifting lets it count again."""
    verifier = await start(settings, revocations=revocations)
    token = forge.token(jti="t-1")
    seen = [await reason(verifier, token), await reason(verifier, token)]
    await revoke(revocations, what("jti", "another"), "r-0")
    seen.append(await reason(verifier, token))
    await revoke(revocations, what("jti", "t-1"), "r-1")
    seen += [await reason(verifier, token), await reason(verifier, token)]
    await revocations.lift("r-1")
    seen.append(await reason(verifier, token))
    assert seen == ["ok", "ok", "ok", "token_revoked", "token_revoked", "ok"]
    assert verifier.hits == 2
    await revoke(revocations, what("subject", "ann", ISSUER), "r-2")
    assert (verifier.is_revoked("ann"), await reason(verifier, token)) == (False, "token_revoked")
    await revoke(revocations, what("subject", "ann"), "r-3")
    assert verifier.is_revoked("ann") is True
