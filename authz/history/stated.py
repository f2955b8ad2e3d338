"""What a policy reads of the input, stated in its bundle when it was built: no sidecar needs an `opa` to find out."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from authz.bundle import Bundle
from authz.history.reads import Reads, ReadsUnrecordedError, reads_of_modules

_LONGEST = 2000


class _Stated(Struct, frozen=True, omit_defaults=True):
    """`unrecorded`: what it reads that no record has; empty where `reads` is stated."""

    reads: Reads | None = None
    unrecorded: str = ""


def state_reads(members: dict[str, bytes], data_json: bytes, opa: Path) -> dict[str, Any]:
    """The statement to put into a bundle's manifest. Raises OpaMissingError."""
    try:
        stated = _Stated(reads=reads_of_modules(members, data_json, opa))
    except ReadsUnrecordedError as error:
        stated = _Stated(unrecorded=str(error)[:_LONGEST])
    document: dict[str, Any] = msgspec.to_builtins(stated)
    return document


def stated_reads(bundle: Bundle) -> Reads:
    """What the bundle says that it reads. Raises ReadsUnrecordedError, also where it says nothing."""
    if bundle.reads is None:
        raise ReadsUnrecordedError(
            f"revision {bundle.revision}: does not say what it reads of the input: build it again, with this version"
        )
    try:
        stated = msgspec.convert(bundle.reads, type=_Stated)
    except msgspec.ValidationError as error:
        raise ReadsUnrecordedError(f"revision {bundle.revision}: says wrongly what it reads: {error}") from None
    if stated.reads is None:
        raise ReadsUnrecordedError(f"revision {bundle.revision}: {stated.unrecorded}")
    return stated.reads
