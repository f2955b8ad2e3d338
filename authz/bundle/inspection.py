"""What a bundle says of itself. Nothing of it is believed by being shown."""

from msgspec import Struct

from authz.bundle.reader import Bundle
from authz.bundle.signatures import unverified_signatures


class MemberSize(Struct, frozen=True):
    """One file of a bundle."""

    name: str
    size_bytes: int


class SignatureSeen(Struct, frozen=True):
    """One signature, not verified."""

    key_id: str
    algorithm: str
    sequence: int


class Inspection(Struct, frozen=True):
    """One bundle at a glance; `unverified_signatures` is empty where it is not signed."""

    revision: str
    sha256: str
    opa: str
    entrypoints: tuple[str, ...]
    unverified_signatures: tuple[SignatureSeen, ...]
    members: tuple[MemberSize, ...]


def inspect(found: Bundle) -> Inspection:
    """Look into a bundle. Raises SignatureError for signatures that cannot be read."""
    document = found.signatures_json
    seen = unverified_signatures(document) if document is not None else ()
    return Inspection(
        revision=found.revision,
        sha256=found.sha256,
        opa=found.opa,
        entrypoints=found.entrypoints,
        unverified_signatures=tuple(SignatureSeen(each.key_id, each.algorithm, each.sequence) for each in seen),
        members=tuple(MemberSize(name, len(content)) for name, content in sorted(found.members.items())),
    )
