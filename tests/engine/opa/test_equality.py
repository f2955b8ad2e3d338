"""The two engines agree: generated questions, sound and odd, to the embedded one and to a real OPA server.

AUTHZ_TEST_EXAMPLES says on how many.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import bundle
from authz.config import OpaSettings
from authz.core import ERROR, PolicyDecision
from authz.engine import Counts, EmbeddedEngine, EmbeddedPolicy
from authz.engine.opa import OpaPolicy, local_engine
from tests.engine.generated import JUNK, checks, or_junk, thorough

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Both:
    """One policy in two engines, on one event loop."""

    def __init__(self, runner: asyncio.Runner, embedded: EmbeddedPolicy, server: OpaPolicy) -> None:
        self.embedded, self.server, self._runner = embedded, server, runner

    def decide(self, documents: list[bytes]) -> tuple[list[PolicyDecision], list[PolicyDecision]]:
        """What each says of a batch, whose checks share their evaluations."""
        return self._runner.run(self._decide(documents))

    async def _decide(self, documents: list[bytes]) -> tuple[list[PolicyDecision], list[PolicyDecision]]:
        return await self.embedded.evaluate_all(documents), await self.server.evaluate_all(documents)

    def explain(self, document: bytes) -> tuple[Any, Any]:
        """What each explains."""
        return self._runner.run(self._explain(document))

    async def _explain(self, document: bytes) -> tuple[Any, Any]:
        return await self.embedded.explain(document), await self.server.explain(document)


@pytest.fixture(scope="module")
def both(opa_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The shipped policy."""
    with asyncio.Runner() as runner:
        engine = runner.run(
            local_engine(OpaSettings(program=str(opa_binary), deadline_seconds=5.0), tmp_path_factory.mktemp("state"))
        )
        found = bundle.read_shipped()
        embedded = runner.run(EmbeddedEngine(5.0, Counts()).load(found))
        yield Both(runner, embedded, runner.run(engine.load(found)))
        embedded.close()
        runner.run(engine.close())


def nested(depth: int) -> Any:
    """So many lists in one another."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


ODD = st.one_of(
    JUNK,
    st.text(max_size=20),
    st.sampled_from(
        ["\0", "\u2028", "\ufeff", "\ufffd", "\U0010ffff", "e\u0301", "\u202e", "a\ud800", "\udc00", "\ud83d"]
    ),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53 + 1, 2**63, 2**64, 10**400, 1e308, 5e-324, -0.0, 0.1 + 0.2, [], {}, [[]], {"": {}}]),
    st.integers(0, 30).map(nested),
)


def oddly(sound: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A check with something odd in one of the places that a caller has a say in."""

    def put(parts: tuple[Any, str, Any]) -> Any:
        document, place, odd = parts
        if isinstance(document, dict):
            section, _, name = place.partition(".")
            inner = document.get(section)
            document[section] = {**inner, name: odd} if name and isinstance(inner, dict) else odd
        return document

    places = st.sampled_from(
        [
            "subject.id", "subject.roles", "subject.scopes", "subject.properties", "subject.type", "action.name",
            "resource.id", "resource.params", "resource.route", "resource.host", "resource.properties",
            "context.now", "context.ip", "context.extra", "subject", "resource", "context",
        ]
    )  # fmt: skip
    return st.tuples(sound, places, ODD).map(put)


def written(document: Any, *, escaped: bool) -> bytes:
    """JSON, its text escaped or not; half a pair of surrogates can only be escaped."""
    try:
        return json.dumps(document, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        return json.dumps(document).encode()


def test_the_engines_agree(both: Both, examples: int) -> None:
    """Batches of any questions, and each of them alone: decision for decision the same."""
    sound = checks(both.embedded.catalogue)

    @thorough(max(25, examples // 3))
    @given(st.lists(st.one_of(sound, oddly(sound)), min_size=1, max_size=8), st.booleans())
    def they_agree(documents: list[Any], escaped: bool) -> None:
        asked = [written(document, escaped=escaped) for document in documents]
        ours, theirs = both.decide(asked)
        assert ours == theirs
        assert both.decide(asked[:1]) == (ours[:1], theirs[:1])

    they_agree()


def test_the_engines_explain_alike(both: Both, examples: int) -> None:
    """The same explanation of any check that is an object, as every check is."""

    @thorough(max(10, examples // 4))
    @given(or_junk(checks(both.embedded.catalogue)).filter(lambda document: isinstance(document, dict)))
    def they_agree(document: Any) -> None:
        ours, theirs = both.explain(written(document, escaped=False))
        assert ours == theirs

    they_agree()


HOSTILE = {
    "a lone surrogate": b'{"subject":{"id":"\\ud800"}}',
    "a lone surrogate in a key": b'{"\\udfff":1}',
    "surrogates the wrong way round": b'{"a":"\\udc00\\ud800"}',
    "no UTF-8": b'{"a":"\xff"}',
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "no JSON": b'{"a":\\u0020}',
    "too large": b'{"a":"%b"}' % (b"x" * 1_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_document_is_never_an_allow(both: Both, name: str) -> None:
    """OPA would put U+FFFD where half a character was, and make two different IDs one: it is not asked.

    The guest takes some of these for something. No check that the pipeline makes is one of them.
    """
    health = b'{"action":{"name":"GET"},"resource":{"type":"route","route":"/health"}}'
    ours, theirs = both.decide([health, HOSTILE[name], health])
    assert [decision.allow for decision in ours] == [decision.allow for decision in theirs] == [True, False, True]
    assert theirs[1] == ERROR
