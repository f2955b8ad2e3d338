"""Which tokens no longer count although they verify."""

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, NamedTuple

from authz.core import BadRequestError, Clock
from authz.identity.revocation_store import FOREVER, Revocation, RevocationStore

RevocationKind = Literal["subject", "jti", "session", "issued_before"]
MOST: Final = 5_000_000


class Marks(NamedTuple):
    """By what a token can be revoked: its verified claims iss, sub, jti, sid and iat (seconds since the epoch)."""

    issuer: str
    subject: str
    jti: str | None
    session: str | None
    issued_at: int | None


class Revoke(NamedTuple):
    """What to revoke. `issuer`: empty for every issuer's. `before`: only tokens issued before this second."""

    kind: RevocationKind
    value: str
    issuer: str
    before: int | None
    expires_at: int | None


class Revocations:
    """Revocations in memory, durable in a store before they hold. It belongs to one event loop.

    `generation` changes with every change: what was checked under one generation holds under it. A look-up takes the
    same time whether one is held or a million; without any there is none.
    """

    def __init__(self, store: RevocationStore, clock: Clock) -> None:
        """Reads all of the store: not on the loop. Raises ConfigurationError or RevocationsUnavailableError."""
        self.generation = 0
        self._store = store
        self._clock = clock
        self._key = store.key
        self._held = store.held(int(clock.now()))
        self._kinds = set(store.kinds())
        self._changing = asyncio.Lock()
        self._followers: list[Callable[[], None]] = []

    @classmethod
    async def open(cls, directory: Path, clock: Clock) -> "Revocations":
        """Raises ConfigurationError when the store cannot be used: what is revoked must not come back unseen."""
        return await asyncio.to_thread(lambda: cls(RevocationStore(directory), clock))

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, marks: Marks) -> bool:
        """Whether a token with these marks is revoked. One without `iat` may have been issued at any time."""
        if not self._held:
            return False
        issued = -1 if marks.issued_at is None else marks.issued_at
        named = (("subject", marks.subject), ("jti", marks.jti), ("session", marks.session), ("issued_before", ""))
        return any(
            self._held.get(self._digest(kind, issuer, value), -1) > issued
            for kind, value in named
            if value is not None
            for issuer in {"", marks.issuer}
            if (kind, issuer) in self._kinds
        )

    async def revoke(self, what: Revoke, revocation_id: str, pseudonym: str | None, by: str, reason: str) -> Revocation:
        """Durable, and in force for the next decision, when this returns. Not to be cancelled: memory follows the disk.

        Raises BadRequestError when there are too many, RevocationsUnavailableError.
        """
        async with self._changing:
            if len(self._held) >= MOST:
                raise BadRequestError(f"There are {MOST} revocations; lift some, or revoke by issued_before")
            made = Revocation(
                id=revocation_id,
                digest=self._digest(what.kind, what.issuer, what.value),
                kind=what.kind,
                issuer=what.issuer,
                pseudonym=pseudonym,
                before=FOREVER if what.before is None else what.before,
                expires_at=what.expires_at,
                at=int(self._clock.now()),
                by=by,
                reason=reason,
            )
            await asyncio.to_thread(self._store.add, made)
            self._kinds.add((made.kind, made.issuer))
            self._held[made.digest] = max(made.before, self._held.get(made.digest, -1))
            self._changed()
            return made

    async def lift(self, revocation_id: str) -> Revocation | None:
        """What was lifted, durably; None if there is no such revocation. Raises RevocationsUnavailableError."""
        async with self._changing:
            removed = await asyncio.to_thread(self._store.remove, revocation_id)
            if removed is None:
                return None
            revocation, left = removed
            if left is None:
                self._held.pop(revocation.digest, None)
            else:
                self._held[revocation.digest] = left
            self._changed()
            return revocation

    async def listed(self, limit: int, after: str) -> list[Revocation]:
        """The newest first. Raises RevocationsUnavailableError."""
        async with self._changing:
            now = int(self._clock.now())
            return await asyncio.to_thread(self._store.listed, limit, after, now)

    async def close(self) -> None:
        """Close the store."""
        async with self._changing:
            await asyncio.to_thread(self._store.close)

    def follow(self, told: Callable[[], None]) -> None:
        """Call `told`, which must not wait, whenever something is revoked or lifted, and holds."""
        self._followers.append(told)

    def _changed(self) -> None:
        self.generation += 1
        for told in self._followers:
            told()

    def _digest(self, kind: str, issuer: str, value: str) -> bytes:
        text = f"{kind}\0{len(issuer)}\0{issuer}\0{value}"
        return blake2b(text.encode(errors="surrogatepass"), digest_size=16, key=self._key).digest()
