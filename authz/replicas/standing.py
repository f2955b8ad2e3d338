"""How replicas stand, side by side."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from authz.client import AdminRefusedError, admin_ready

COLUMNS: Final = ("replica", "ready", "version", "revision", "ledger", "keys", "disk")

_LEDGER: Final = ("ledger", "damage", "auditor")
_KEYS: Final = "keys:"
_WELL: Final = "ok"
_UNKNOWN: Final = "-"


class Standing(Struct, frozen=True):
    """One replica as it says itself, in a few words each; `missed`: why it could not be asked."""

    replica: str
    ready: str = _UNKNOWN
    version: str = _UNKNOWN
    revision: str = _UNKNOWN
    ledger: str = _UNKNOWN
    keys: str = _UNKNOWN
    disk: str = _UNKNOWN
    missed: str = ""

    def row(self) -> tuple[str, ...]:
        """In the order of COLUMNS."""
        return tuple(str(getattr(self, name)) for name in COLUMNS)


async def standings(urls: Sequence[str], token: str | None) -> list[Standing]:
    """All of them, asked at the same time. Whoever does not answer is in the list too."""
    return await asyncio.gather(*(_standing(url, token) for url in urls))


def revisions(found: Sequence[Standing]) -> list[str]:
    """The revisions in force; more than one: the replicas do not decide alike."""
    return sorted({each.revision for each in found if not each.missed})


async def _standing(url: str, token: str | None) -> Standing:
    try:
        said = await admin_ready(url, token)
        return _read(url, said, said["checks"])
    except AdminRefusedError as error:
        return Standing(url, missed=str(error))
    except (KeyError, TypeError, AttributeError):
        return Standing(url, missed=f"{url}: what answers there is no admin listener of this version")


def _read(url: str, said: dict[str, Any], checks: dict[str, dict[str, Any]]) -> Standing:
    failing = [name for name, check in checks.items() if not check["ok"]]
    disk = checks["disk"]
    return Standing(
        replica=url,
        ready="yes" if said["ready"] is True else f"no: {', '.join(failing)}",
        version=said["version"],
        revision=said["revision"],
        ledger=_worst(checks, [name for name in _LEDGER if name in checks]),
        keys=_worst(checks, [name for name in checks if name.startswith(_KEYS)]),
        disk=disk["detail"].partition(",")[0] if disk["ok"] else disk["detail"],
    )


def _worst(checks: dict[str, dict[str, Any]], names: Sequence[str]) -> str:
    """What the first of these that is not well says, by its name."""
    for name in names:
        if not checks[name]["ok"]:
            return f"{name.removeprefix(_KEYS)}: {checks[name]['detail']}"
    return _WELL if names else _UNKNOWN
