"""Examinations in a process of their own: however large or hostile a bundle is, decisions go on beside it."""

import asyncio
import sys
from typing import ClassVar

import msgspec

from authz.core import AuthzError
from authz.examination import Examined, Trust, Verdict

EXAMINATION_SECONDS = 120.0
"""A bundle of 10,000 roles takes some seconds on a slow machine."""


class RefusedError(AuthzError):
    """The examination refused the bundle; `reason` is the code of the error that said so."""

    code: ClassVar[str] = "policy_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def examined_apart(archive: bytes, trust: Trust) -> Examined:
    """`examine`, in another process. Raises RefusedError; a process that dies or takes too long is one too."""
    question = msgspec.json.encode(trust) + b"\n" + archive
    try:
        said, code = await asked_apart("authz.examination.child", question, EXAMINATION_SECONDS)
        verdict = msgspec.json.decode(said, type=Verdict)
    except TimeoutError:
        raise RefusedError("policy_refused", f"its examination took more than {EXAMINATION_SECONDS:.0f} s") from None
    except msgspec.MsgspecError:
        raise RefusedError("policy_refused", f"its examination ended with {code}") from None
    if verdict.examined is None:
        raise RefusedError(verdict.reason, verdict.message)
    return verdict.examined


async def asked_apart(module: str, question: bytes, seconds: float) -> tuple[bytes, int | None]:
    """What a module, run as a process, answers on standard output, and its exit code. Raises TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate(question)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said, process.returncode
