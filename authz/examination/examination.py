"""All that is asked of a bundle before it may be put in force, in the order in which it is asked."""

import asyncio
import hashlib

from msgspec import Struct

from authz import bundle
from authz.bundle import Bundle, Limits
from authz.examination.cases import Case, cases_in, hold_to
from authz.examination.errors import ProbeError
from authz.examination.trust import Trust, hold_to_trust

_CASE_SECONDS = 1.0


class Examined(Struct, frozen=True):
    """A bundle that may be put in force, as far as it alone can tell.

    `content`: SHA-256 over its files without the signatures; `sequence` is 0 where nothing signed says one.
    """

    revision: str
    sha256: str
    content: str
    sequence: int
    key_ids: tuple[str, ...]
    cases: int


def examine(archive: bytes, trust: Trust) -> Examined:
    """Examine a bundle: seconds of work for a large one, so in a thread or another process.

    Raises BundleError, PolicyRefusedError, ProbeError, CasesError.
    """
    return examine_and_compile(archive, trust)[0]


def examine_and_compile(archive: bytes, trust: Trust) -> tuple[Examined, bytes]:
    """`examine`, and what the engine need not work out again to load it (`EmbeddedPolicy.compiled`)."""
    # 1. An archive that can be read in one way only.
    found = bundle.read(archive, Limits(archive_bytes=trust.max_bytes))
    # 2. From somebody who may.
    signed = hold_to_trust(found, trust)
    cases = cases_in(found)
    # The shipped one was tried when it was built.
    compiled = b"" if found.sha256 == bundle.SHIPPED_SHA256 else _try_out(found)
    # 5. It decides as its makers say it does.
    if cases:
        _hold_to_cases(found, cases)
    examined = Examined(found.revision, found.sha256, _content(found), signed.sequence, signed.key_ids, len(cases))
    return examined, compiled


def _try_out(found: Bundle) -> bytes:
    from authz.engine import EmbeddedPolicy, probe  # noqa: PLC0415 - slow to load, and of no use for what is refused

    # 3. A module that the engine takes.
    policy = EmbeddedPolicy.load(found.wasm, found.data_json, found.revision)
    try:
        compiled = policy.compiled()
    finally:
        policy.close()
    # 4. Answers within the contract.
    _, breaches = probe(found.wasm, found.data_json)
    if breaches:
        raise ProbeError("\n".join(f"data.authz.{rule} {text}" for rule, text in breaches))
    return compiled


def _hold_to_cases(found: Bundle, cases: tuple[Case, ...]) -> None:
    from authz.engine import EmbeddedPolicy  # noqa: PLC0415 - as above

    policy = EmbeddedPolicy.load(found.wasm, found.data_json, found.revision, deadline_seconds=_CASE_SECONDS)
    try:
        asyncio.run(hold_to(policy, cases))
    finally:
        policy.close()


def _content(found: Bundle) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(found.members.items()):
        if name != bundle.SIGNATURES:
            digest.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    return digest.hexdigest()
