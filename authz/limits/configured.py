"""The limiter that the settings ask for."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from authz.config import AddressLimit, LimitSettings, SharedLimits
from authz.core import ConfigurationError, Limit, Limiter
from authz.limits.budgets import Budgets
from authz.limits.limiter import LocalLimiter
from authz.limits.retries import Retries

_SECOND = 1_000_000_000


class OpenLimiter(Limiter, Protocol):
    """A limiter that can be closed, and tells how much it keeps."""

    @property
    def live(self) -> int:
        """Budgets kept here."""
        ...

    @property
    def forgotten(self) -> int:
        """Budgets that gave way before they were full again."""
        ...

    async def close(self) -> None:
        """Let go of what it holds open."""
        ...


def open_limiter(settings: LimitSettings, load_key: Callable[[Path], bytes]) -> OpenLimiter:
    """The limiter. Nothing is connected to before it is needed.

    Raises ConfigurationError, naming the key, when a file cannot be used or the `redis` extra is missing.
    """
    door = (_limit(settings.address), Budgets(settings.budgets)) if settings.address else None
    retries = Retries(int(settings.retry_seconds * _SECOND))
    local = LocalLimiter(Budgets(settings.budgets), retries, time.monotonic_ns, door)
    return _shared(settings.shared, local, settings.retry_seconds, load_key) if settings.shared else local


def _limit(address: AddressLimit) -> Limit:
    return Limit("", address.count, address.per_seconds, address.burst)


def _shared(
    settings: SharedLimits, local: LocalLimiter, retry_seconds: float, load_key: Callable[[Path], bytes]
) -> OpenLimiter:
    try:
        from authz.limits.shared import SharedLimiter  # noqa: PLC0415 - an extra that not everybody installs
        from authz.limits.store import Store  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError("limits.shared: needs the redis extra: pip install 'authz-sidecar[redis]'") from None
    password = _password(settings.password_file) if settings.password_file else None
    key = load_key(Path(settings.key_file))
    try:
        store = Store(settings.url, key, password, settings.timeout_seconds)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"limits.shared.url: {error}") from None
    return SharedLimiter(store, local, settings.when_away, retry_seconds)


def _password(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"limits.shared.password_file: cannot be read: {error}") from None
