"""One witness, asked: what counts as its cosignature, and what each of its other answers means."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from authz.anchoring import HistoryError, OutwardError, asking
from authz.anchoring.asking import AskedWitness
from authz.anchoring.outside import open_session
from authz.anchoring.published import Published
from authz.tlog import CosignerSigner, add_signatures
from authz.witness import Store
from tests.witness.logs import COSIGNER, NOW, ORIGIN, Leaves, Log, cosigned_at

from .outside import published, serving, witnessing


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Of the kind that is used outside of tests."""
    async with open_session() as opened:
        yield opened


def _asked(url: str, session: aiohttp.ClientSession, size: int = 0) -> AskedWitness:
    return AskedWitness(url, COSIGNER.verifier, session, size)


async def _failure(witness: AskedWitness, item: Published) -> tuple[type[OutwardError], str]:
    try:
        await witness.cosign(item)
    except OutwardError as error:
        return type(error), str(error)
    raise AssertionError("it was cosigned")


async def test_a_growing_log_is_cosigned(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With one request for each checkpoint, as it remembers what the witness cosigned last."""
    log = Log()
    async with witnessing(tmp_path / "w.db") as url:
        witness = _asked(f"{url}/", session)
        with capture_logs() as said:
            for size in (1, 2, 8, 8, 13, 64):
                line = await witness.cosign(published(log, size))
                assert cosigned_at(log.note(size), line.encode()) > NOW - 10**9
    assert said == []


@pytest.mark.parametrize("believed", [0, 3, 8, 12])
async def test_it_goes_on_from_what_the_witness_remembers(
    session: aiohttp.ClientSession, tmp_path: Path, believed: int
) -> None:
    """Whatever it believed itself: after a restart, after another one asked, and after the witness lost something."""
    log = Log()
    async with witnessing(tmp_path / "w.db") as url:
        await _asked(url, session).cosign(published(log, 8))
        with capture_logs() as said:
            await _asked(url, session, believed).cosign(published(log, 12))
    went_back = [(line["event"], line["told_size"]) for line in said]
    assert went_back == ([("witness_went_back", 8)] if believed > 8 else [])


async def test_the_same_checkpoint_is_cosigned_again_after_a_restart(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A log that did not grow meanwhile."""
    async with witnessing(tmp_path / "w.db") as url:
        await _asked(url, session).cosign(published(Log(), 8))
        await _asked(url, session).cosign(published(Log(), 8))


async def test_a_ledger_that_was_put_back_is_found(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The witness has seen more: a virtual machine was restored, or the end was cut off."""
    async with witnessing(tmp_path / "w.db") as url:
        await _asked(url, session).cosign(published(Log(), 12))
        for believed in (0, 12):
            assert await _failure(_asked(url, session, believed), published(Log(), 8)) == (
                HistoryError,
                "it has cosigned 12 records; here are 8: this ledger was put back or cut off",
            )


async def test_a_ledger_that_was_rewritten_is_found(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With the real key, at the same size and at a larger one; the witness keeps both as evidence."""
    fork = Log(3)
    async with witnessing(tmp_path / "w.db") as url:
        await _asked(url, session).cosign(published(Log(), 8))
        witness = _asked(url, session)
        assert await _failure(witness, published(fork, 8)) == (
            HistoryError,
            "it has cosigned another history of these 8 records",
        )
        kind, said = await _failure(witness, published(fork, 12))
    assert (kind, said[:71]) == (
        HistoryError,
        "what it cosigned of 8 records is not the beginning of these 12: the con",
    )
    kept = Store(tmp_path / "w.db").refusals(ORIGIN)
    assert [(each.reason, each.checkpoint) for each in kept] == [
        ("fork", fork.checkpoint(8)),
        ("inconsistent", fork.checkpoint(12)),
    ]


async def test_a_damaged_tile_is_not_taken_for_a_rewritten_log(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The proof is checked here first, and nothing is sent: the witness has no reason to cry."""
    log = Log()
    spoilt = Leaves([*log.reader.leaves[:2], bytes(32), *log.reader.leaves[3:]])
    async with witnessing(tmp_path / "w.db") as url:
        witness = _asked(url, session)
        await witness.cosign(published(log, 8))
        kind, said = await _failure(witness, Published.of(log.note(12), spoilt))
        await witness.cosign(published(log, 12))
    assert (kind, said[:46]) == (OutwardError, "there is no proof for node.example/auditor from 8 t"[:46])
    assert Store(tmp_path / "w.db").refusals(ORIGIN) == []


async def _answered(session: aiohttp.ClientSession, response: web.Response) -> tuple[type[OutwardError], str]:
    """What comes of a witness that has nothing but this answer."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return response

    async with serving(handle) as url:
        return await _failure(_asked(url, session), published(Log(), 8))


_SIZE = {"Content-Type": "text/x.tlog.size"}
_LINE = COSIGNER.cosign(Log().checkpoint(8), NOW)
_OTHER = CosignerSigner(COSIGNER.name, bytes(32)).cosign(Log().checkpoint(8), NOW)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"oh \x1b[2J no", {}), "it answered 500: oh [2J no"),
        ((404, b"", {}), "it answered 404: "),
        ((403, b"who are you", {}), "it answered 403: who are you"),
        ((302, b"", {"Location": "/add-checkpoint"}), "it answered 302: "),
        ((409, b"5\n", {"Content-Type": "text/plain"}), "it answered 409 without a size"),
        ((409, b"five\n", _SIZE), "it answered 409 without a size"),
        ((409, b"0\n", _SIZE), "it answered 409 with the size that was asked, 0"),
        ((200, b"x" * 65_537, {}), "it answered more than 65536 bytes"),
    ],
)
async def test_an_answer_that_is_none(
    session: aiohttp.ClientSession, answer: tuple[int, bytes, dict[str, str]], said: str
) -> None:
    """Is asked for again later, and said in words that cannot harm a terminal."""
    status, body, headers = answer
    failure = await _answered(session, web.Response(status=status, body=body, headers=headers))
    assert failure == (OutwardError, said)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "yes\n",
        f"{_OTHER}\n",
        f"{COSIGNER.cosign(Log().checkpoint(9), NOW)}\n",
        f"{COSIGNER.cosign(Log(3).checkpoint(8), NOW)}\n",
        _LINE,
        f"{_LINE}\n\nnode.example/auditor\n",
    ],
)
async def test_only_its_own_cosignature_of_this_checkpoint_counts(session: aiohttp.ClientSession, body: str) -> None:
    """Not another key's, nor one for another checkpoint, nor a line that is cut or followed by something."""
    kind, said = await _answered(session, web.Response(text=body))
    assert (kind, said.startswith("what it answered is no cosignature by witness.example/w1+")) == (OutwardError, True)


async def test_lines_of_others_are_left_out(session: aiohttp.ClientSession) -> None:
    """A witness may sign with several keys; the pinned one is taken."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(text=f"{_OTHER}\n{_LINE}\n")

    async with serving(handle) as url:
        assert await _asked(url, session).cosign(published(Log(), 8)) == _LINE


async def test_a_witness_that_moves_on_between_two_requests(session: aiohttp.ClientSession) -> None:
    """Somebody else has it cosign: three requests, and then not again at once."""
    sizes = iter(range(1, 100))

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=409, body=b"%d\n" % next(sizes), headers=_SIZE)

    async with serving(handle) as url:
        failure = await _failure(_asked(url, session), published(Log(), 64))
    assert (failure, next(sizes)) == ((OutwardError, "somebody else has it cosign checkpoints of this log"), 4)


async def test_a_witness_that_does_not_answer(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is left after its time; one that is not there at once."""
    monkeypatch.setattr(asking, "ASK_SECONDS", 0.2)

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        await asyncio.sleep(20)
        raise AssertionError

    async with serving(handle) as url:
        assert await _failure(_asked(url, session), published(Log(), 8)) == (OutwardError, "no answer within 0 seconds")
    assert await _failure(_asked(url, session), published(Log(), 8)) == (
        OutwardError,
        "it cannot be reached: ClientConnectorError",
    )


async def test_what_is_cosigned_is_a_note(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The log's signature and the witness's, under the same text."""
    log = Log()
    async with witnessing(tmp_path / "w.db") as url:
        line = await _asked(url, session).cosign(published(log, 8))
    note = add_signatures(log.note(8), [line])
    assert note == log.note(8) + line.encode() + b"\n"
