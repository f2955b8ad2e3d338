"""Sign a bundle, so that OPA and we both take it."""

from collections.abc import Mapping

from authz.bundle.archive import pack
from authz.bundle.errors import SignatureError
from authz.bundle.keys import SigningKey
from authz.bundle.reader import read
from authz.bundle.signatures import (
    MAX_SEQUENCE,
    SIGNATURES,
    file_hash,
    signed_token,
    unverified_signatures,
    unverified_tokens,
    write_signatures,
    write_token,
)


def sign(archive: bytes, key: SigningKey, sequence: int) -> bytes:
    """The bundle with this signature in place of any other. `sequence` has to rise from bundle to bundle.

    Raises BundleError: not a sound bundle, or a sequence that cannot be counted.
    """
    if not 0 < sequence <= MAX_SEQUENCE:
        raise SignatureError(f"the sequence must be between 1 and {MAX_SEQUENCE}")
    members = read(archive).members
    token = _token(members, key, sequence)
    return pack({**members, SIGNATURES: write_signatures((token,))})


def countersign(archive: bytes, key: SigningKey) -> bytes:
    """The bundle with this signature beside those it has, of the same files and sequence.

    Whoever countersigns looks at the bundle first: the other signatures are not verified here, for want of their keys.
    Raises BundleError: no signature is there, one of this key is, or the files are not those that were signed.
    """
    members = read(archive).members
    document = members.get(SIGNATURES)
    if document is None:
        raise SignatureError("there is no signature to put this one beside")
    found = unverified_signatures(document)
    if key.key_id in {each.key_id for each in found}:
        raise SignatureError(f"{key.key_id} has signed this bundle already")
    added = _token(members, key, found[0].sequence)
    tokens = (*unverified_tokens(document), added)
    return pack({**members, SIGNATURES: write_signatures(tokens)})


def _token(members: Mapping[str, bytes], key: SigningKey, sequence: int) -> str:
    files = [
        {"name": name, "hash": file_hash(name, content), "algorithm": "SHA-256"}
        for name, content in sorted(members.items())
        if name != SIGNATURES
    ]
    # The kid is in the header for us and in the claims for OPA before 1.0, which looks there.
    claims = {"files": files, "keyid": key.key_id, "sequence": sequence}
    message = write_token({"alg": key.algorithm, "typ": "JWT", "kid": key.key_id}, claims)
    return signed_token(message, key.sign(message))
