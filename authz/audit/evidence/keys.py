"""Public keys as people hand them over: the key itself, or a file with one on each line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

from authz.core import BadRequestError
from authz.tlog import CosignerKey, MalformedError, VerifierKey

_MAX_BYTES: Final = 1 << 20

_Key = TypeVar("_Key", VerifierKey, CosignerKey)


def read_node_keys(sources: Iterable[str]) -> list[VerifierKey]:
    """The keys that nodes sign with. Raises BadRequestError."""
    return [key for source in sources for key in _read(VerifierKey, source)]


def read_witness_keys(sources: Iterable[str]) -> list[CosignerKey]:
    """The keys of witnesses. Raises BadRequestError."""
    return [key for source in sources for key in _read(CosignerKey, source)]


def _read(kind: type[_Key], source: str) -> list[_Key]:
    path = Path(source)
    try:
        text = path.read_bytes()[:_MAX_BYTES].decode() if path.exists() else source
        keys = [kind.read(line) for line in text.split("\n") if line]
    except (OSError, UnicodeDecodeError, MalformedError) as error:
        raise BadRequestError(f"{source}: neither a public key nor a file of such: {error}") from None
    if not keys:
        raise BadRequestError(f"{source}: there is no public key in it")
    return keys
