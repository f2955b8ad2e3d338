"""How far back the ledger is kept: as a command says, else as is configured."""

import re
from datetime import datetime, timedelta
from typing import Final

from authz.audit.moment import moment
from authz.core import BadRequestError

_LENGTH: Final = re.compile(r"[0-9]{1,6}[smhdw]")


def retention_limit(before: str | None, keep: str | None, retention_days: int, now: datetime) -> str | None:
    """The time before which records may go, as records write time; None: everything is kept.

    `before` is a time, `keep` a length of time such as `400d`; without either `retention_days` counts, of which 0 is
    for ever. Raises BadRequestError.
    """
    if before is not None and keep is not None:
        raise BadRequestError("--before, --keep: give one of them")
    if before is not None:
        return moment("--before", before, now)
    if keep is not None:
        if not _LENGTH.fullmatch(keep):
            raise BadRequestError(f"--keep: {keep!r} is no length of time; write 400d, 52w or 36h")
        return moment("--keep", keep, now)
    if retention_days == 0:
        return None
    return moment("audit.retention_days", now - timedelta(days=retention_days))
