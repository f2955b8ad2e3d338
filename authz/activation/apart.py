"""Examinations in a process of their own: however large or hostile a bundle is, decisions go on beside it."""

import asyncio
import sys
from contextlib import suppress
from typing import ClassVar, Final, NamedTuple, TypeVar

import msgspec

from authz.core import AuthzError
from authz.examination import Examined, Trust, Verdict

EXAMINATION_SECONDS = 120.0
"""A bundle of 10,000 roles takes some seconds on a slow machine."""

_PIECE_BYTES: Final = 262_144
"""Handed over at once: a large bundle in one piece would be copied more than once, while nobody is answered."""

_T = TypeVar("_T")


class RefusedError(AuthzError):
    """The examination refused the bundle; `reason` is the code of the error that said so."""

    code: ClassVar[str] = "policy_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NoAnswerError(Exception):
    """A process took too long, or ended without an answer; the text says which."""


class Passed(NamedTuple):
    """A bundle that was not refused; `compiled` is what the engine need not work out again to load it."""

    examined: Examined
    compiled: bytes


async def examined_apart(archive: bytes, trust: Trust) -> Passed:
    """`examine_and_compile`, in another process.

    Raises RefusedError; a process that dies or takes too long is one too.
    """
    question = (msgspec.json.encode(trust) + b"\n", archive)
    try:
        verdict = await asked_apart("authz.examination.child", question, EXAMINATION_SECONDS, Verdict)
    except NoAnswerError as error:
        raise RefusedError("policy_refused", f"its examination {error}") from None
    if verdict.examined is None:
        raise RefusedError(verdict.reason, verdict.message)
    return Passed(verdict.examined, verdict.compiled)


async def asked_apart(module: str, question: tuple[bytes, ...], seconds: float, kind: type[_T]) -> _T:
    """What a module, run as a process, answers on standard output, as MessagePack of this kind.

    Raises NoAnswerError.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await asyncio.gather(_heard(process), _tell(process, question))
            await process.wait()
        return msgspec.msgpack.decode(said, type=kind)
    except TimeoutError:
        raise NoAnswerError(f"took more than {seconds:.0f} s") from None
    except msgspec.MsgspecError:
        raise NoAnswerError(f"ended with {process.returncode}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _heard(process: asyncio.subprocess.Process) -> bytes:
    return b"" if process.stdout is None else await process.stdout.read()


async def _tell(process: asyncio.subprocess.Process, question: tuple[bytes, ...]) -> None:
    """All of it, unless the process ends before."""
    if process.stdin is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        for part in question:
            for start in range(0, len(part), _PIECE_BYTES):
                process.stdin.write(part[start : start + _PIECE_BYTES])
                await process.stdin.drain()
    process.stdin.close()
