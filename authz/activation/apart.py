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
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "authz.examination.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(EXAMINATION_SECONDS):
            said, _ = await process.communicate(msgspec.json.encode(trust) + b"\n" + archive)
        verdict = msgspec.json.decode(said, type=Verdict)
    except TimeoutError:
        raise RefusedError("policy_refused", f"its examination took more than {EXAMINATION_SECONDS:.0f} s") from None
    except msgspec.MsgspecError:
        raise RefusedError("policy_refused", f"its examination ended with {process.returncode}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if verdict.examined is None:
        raise RefusedError(verdict.reason, verdict.message)
    return verdict.examined
