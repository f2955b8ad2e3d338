"""One witness, as the log that asks it sees it (c2sp.org/tlog-witness)."""

import asyncio
from typing import Final, NamedTuple, NoReturn

import aiohttp
import structlog

from authz.anchoring.errors import HistoryError, OutwardError
from authz.anchoring.outside import UNREACHABLE, printable, read_bounded
from authz.anchoring.published import Published
from authz.tlog import CosignerKey, MalformedError, NoteError, open_note, split_note
from authz.witness import PATH, SIZE_TYPE, AddCheckpoint, read_size

ASK_SECONDS: Final = 5.0
"""For one checkpoint, the second request after a 409 included."""

_REQUESTS: Final = 3
_log = structlog.get_logger("authz.anchoring")


class _Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class AskedWitness:
    """Asks for cosignatures by one key. `size`: the one it cosigned last, as far as that is known."""

    def __init__(self, url: str, key: CosignerKey, session: aiohttp.ClientSession, size: int = 0) -> None:
        self.name = key.name
        self._url = url.rstrip("/") + PATH
        self._key = key
        self._session = session
        self._size = size

    async def cosign(self, published: Published) -> str:
        """Its line for the note, without LF, verified.

        Raises OutwardError; HistoryError if it cosigned what this checkpoint does not go on from.
        """
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._cosign(published)
        except TimeoutError:
            raise OutwardError(f"no answer within {ASK_SECONDS:.0f} seconds") from None

    async def _cosign(self, published: Published) -> str:
        size = published.checkpoint.size
        old = min(self._size, size)
        for _ in range(_REQUESTS):
            proof = await asyncio.to_thread(published.proof_from, old)
            answer = await self._post(AddCheckpoint(old, tuple(proof), published.note).write())
            if answer.status == 200:
                line = self._verified(published, answer.body)
                self._size = size
                return line
            if answer.status != 409:
                self._refuse(answer, old, size)
            told = _other_size(answer, old, size)
            if told < self._size:
                _log.error("witness_went_back", witness=self.name, cosigned_size=self._size, told_size=told)
            old = self._size = told
        raise OutwardError("somebody else has it cosign checkpoints of this log")

    async def _post(self, body: bytes) -> _Answer:
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                return _Answer(response.status, response.content_type, await read_bounded(response))
        except UNREACHABLE as error:
            raise OutwardError(f"it cannot be reached: {type(error).__name__}") from None

    def _verified(self, published: Published, lines: bytes) -> str:
        text, _ = split_note(published.note)
        try:
            return open_note(text.encode() + b"\n" + lines, [self._key]).signatures[0].line
        except (MalformedError, NoteError) as error:
            raise OutwardError(f"what it answered is no cosignature by {self._key}: {error}") from None

    def _refuse(self, answer: _Answer, old: int, size: int) -> NoReturn:
        said = printable(answer.body)
        if answer.status == 422:
            raise HistoryError(f"what it cosigned of {old} records is not the beginning of these {size}: {said}")
        raise OutwardError(f"it answered {answer.status}: {said}")


def _other_size(answer: _Answer, old: int, size: int) -> int:
    """The size that a 409 tells, if going on from there makes sense."""
    try:
        told = read_size(answer.body) if answer.content_type == SIZE_TYPE else None
    except MalformedError:
        told = None
    if told is None:
        raise OutwardError("it answered 409 without a size")
    if told > size:
        raise HistoryError(f"it has cosigned {told} records; here are {size}: this ledger was put back or cut off")
    if told == old == size:
        raise HistoryError(f"it has cosigned another history of these {size} records")
    if told == old:
        raise OutwardError(f"it answered 409 with the size that was asked, {old}")
    return told
