"""Budgets that several sidecars share, on a Valkey or Redis server. Importing it takes the `redis` extra."""

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from authz.core import Limit
from authz.limits.script import SCRIPT

_CONNECTIONS = 64
_MICROSECONDS = 1_000_000


class StoreAwayError(Exception):
    """No answer in time, or none that makes sense."""


class Refused(NamedTuple):
    """Which of the limits is spent, and for how long, in microseconds."""

    which: int
    wait: int


class Store:
    """One round trip for one decision, never waited for longer than `timeout_seconds`, never tried twice.

    Whose budget it is stands in the server only as a keyed digest. Loses nothing that matters: a server that forgets
    gives everybody their whole budget.
    """

    def __init__(self, url: str, key: bytes, password: str | None, timeout_seconds: float) -> None:
        self._key = key
        self._timeout = timeout_seconds
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            **({"password": password} if password is not None else {}),
        )
        self._server: Redis = Redis.from_pool(pool)
        self._digest: str | None = None

    async def spend(
        self, whose: Sequence[str], limits: Sequence[Limit], retry: Sequence[str] | None, retry_seconds: float
    ) -> Refused | None:
        """Spend one use under each of the limits, or none at all. Raises StoreAwayError."""
        owner = self._hidden(whose)
        # The braces keep one subject's keys on one node of a cluster, as a script needs.
        keys = [f"authz:{{{owner}}}:{_named(limit)}" for limit in limits]
        arguments: list[int] = [len(keys), max(1, int(retry_seconds * 1000))]
        for limit in limits:
            interval = -(-limit.per_seconds * _MICROSECONDS // limit.count)
            arguments += (interval, interval * ((limit.burst or limit.count) - 1))
        if retry is not None:
            keys.append(f"authz:{{{owner}}}:retry:{self._hidden(retry)}")
        try:
            async with asyncio.timeout(self._timeout):
                index, wait = await self._run(keys, arguments)
        except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
            raise StoreAwayError(type(error).__name__) from None
        if not 0 <= index <= len(limits):
            raise StoreAwayError("an answer out of range")
        return Refused(index - 1, wait) if index else None

    async def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(RedisError, OSError):
            await self._server.aclose()

    async def _run(self, keys: list[str], arguments: list[int]) -> tuple[int, int]:
        parts: list[Any] = [len(keys), *keys, *arguments]
        run: Callable[..., Awaitable[Any]] = self._server.execute_command
        if self._digest is not None:
            with contextlib.suppress(NoScriptError):
                return _read(await run("EVALSHA", self._digest, *parts))
        answer = _read(await run("EVAL", SCRIPT, *parts))
        self._digest = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
        return answer

    def _hidden(self, parts: Sequence[str]) -> str:
        """A keyed digest of the parts, each by its length so that none can run into the next."""
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.digest(self._key, text.encode(errors="surrogatepass"), "sha256")[:16].hex()


def _named(limit: Limit) -> str:
    return f"{limit.scope}:{limit.count}:{limit.per_seconds}:{limit.burst or limit.count}"


def _read(answer: Any) -> tuple[int, int]:
    index, wait = answer
    if type(index) is not int or type(wait) is not int:
        raise TypeError
    return index, wait
