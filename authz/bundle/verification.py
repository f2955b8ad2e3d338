"""Whether a bundle is signed by those who may: the one place that says so."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from authz.bundle.errors import AlteredError, SignatureError, UnsignedError
from authz.bundle.keys import VerificationKey
from authz.bundle.signatures import SIGNATURES, UnverifiedSignature, file_hash, unverified_signatures


class Signed(Struct, frozen=True):
    """What the good signatures say. `key_ids`: whose they are, in the order of the bundle."""

    sequence: int
    key_ids: tuple[str, ...]


def verify_signatures(members: Mapping[str, bytes], keys: Sequence[VerificationKey], required: int = 1) -> Signed:
    """Hold every member to the signatures of at least `required` different keys.

    Signatures of unknown keys count for nothing, so that signers can change; one in a known key's name that does not
    verify refuses the bundle. Raises UnsignedError, SignatureError, AlteredError.
    """
    # 1. There is something to verify, and somebody to verify it with.
    document = members.get(SIGNATURES)
    if document is None:
        raise UnsignedError(f"the bundle has no {SIGNATURES}: sign it with `authz policy sign`")
    known = {key.key_id: key for key in keys if key.key_id}
    # 2. Each signature in its one form, with the algorithm of its key and no other.
    found = unverified_signatures(document)
    # 3. The signatures themselves.
    good = [each for each in found if each.key_id in known and _verified(each, known[each.key_id])]
    signers = {known[each.key_id].fingerprint for each in good}
    if len(signers) < max(1, required):
        named = ", ".join(each.key_id or "no key" for each in found)
        raise UnsignedError(
            f"{len(signers)} of {max(1, required)} signatures by known keys "
            f"(it is signed by {named}; known are {', '.join(known) or 'none'})"
        )
    # 4. They agree: nobody's signature stands for other files than the next one's.
    if len({(each.sequence, tuple(sorted(_listed(each).items()))) for each in good}) != 1:
        raise SignatureError("the signatures are of different files or sequences")
    # 5. Every file is signed, every signed file is there, and is what was signed.
    _hold(members, good[0])
    return Signed(good[0].sequence, tuple(dict.fromkeys(each.key_id for each in good)))


def _verified(each: UnverifiedSignature, key: VerificationKey) -> bool:
    """True, or SignatureError: whoever speaks in a known key's name has to be it."""
    if each.algorithm != key.algorithm:
        raise SignatureError(f"the signature of {each.key_id} is {each.algorithm}, its key is for {key.algorithm}")
    if not key.verifies(each.signature, each.message):
        raise SignatureError(f"the signature of {each.key_id} does not verify")
    return True


def _listed(each: UnverifiedSignature) -> dict[str, tuple[str, str]]:
    listed = {file.name: (file.algorithm, file.hash.lower()) for file in each.files}
    if len(listed) != len(each.files):
        raise SignatureError(f"the signature of {each.key_id} names a file twice")
    return listed


def _hold(members: Mapping[str, bytes], each: UnverifiedSignature) -> None:
    listed = _listed(each)
    held = set(members) - {SIGNATURES}
    for name in sorted(held - set(listed)):
        raise AlteredError(f"{name} is not in the signature: it was added afterwards")
    for name in sorted(set(listed) - held):
        raise AlteredError(f"{name} is in the signature and not in the bundle")
    for name, (algorithm, stated) in sorted(listed.items()):
        if file_hash(name, members[name], algorithm) != stated:
            raise AlteredError(f"{name} is not what was signed")
