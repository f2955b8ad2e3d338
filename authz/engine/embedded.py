"""The embedded engine: one policy revision, evaluated inside this process."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

from authz.core import (
    ERROR,
    AuthzError,
    Candidates,
    Catalogue,
    ContractBreach,
    Explanation,
    PolicyDecision,
    RouteTable,
    batch_document,
    offered,
    read_candidates,
    read_catalogue,
    read_decision,
    read_decisions,
    read_explanation,
)
from authz.engine.company import BATCH_ITEMS, Company
from authz.engine.compiled import Compiled, read_compiled, written
from authz.engine.guest import MAX_INPUT_BYTES, GuestError
from authz.engine.module import Counts, Module, compile_module

DEADLINE_SECONDS = 0.05
"""The longest that one evaluation may compute, counted in ticks of 10 ms: a loop was stopped after 47 to 95 ms."""

_SINGLES_PER_TURN = 32

_CATALOGUE = "authz/catalogue"
_CANDIDATES = "authz/candidates"
_ASKED_ONCE = (_CATALOGUE, _CANDIDATES)


class PolicyRefusedError(AuthzError):
    """The bundle cannot be activated: its module or its answers are not what the contract asks for."""

    code = "policy_refused"


class EmbeddedPolicy:
    """Implements core.Policy on a Wasm module that `opa build` compiled.

    Evaluates inline, on the thread of the event loop: an evaluation takes microseconds, threads made the slowest ones
    a hundred times slower. `prepared` says whether the fast call is in use or opa-py-wasm's own.
    """

    engine = "embedded"

    def __init__(self, module: Module, catalogue: Catalogue, searches: frozenset[str], revision: str) -> None:
        self.revision = revision
        self.catalogue = catalogue
        self.routes = RouteTable(catalogue.route_table())
        self.searches = searches
        self._module = module
        self._declared_reasons = frozenset(catalogue.reasons)
        self._decision = module.entrypoints["authz/decision"]
        self._decisions = module.entrypoints.get("authz/decisions")
        self._explain = module.entrypoints.get("authz/explain")
        self._candidates = module.entrypoints.get(_CANDIDATES)
        self._company = Company()

    @classmethod
    def load(
        cls,
        wasm: bytes,
        data: bytes,
        revision: str,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        counts: Counts | None = None,
        compiled: bytes = b"",
    ) -> "EmbeddedPolicy":
        """Compile a module with its data document: 100 ms and more, so call it in a thread.

        `counts` is added to, so that a counter does not start again with every revision. `compiled`: what `compiled`
        of the same policy said in another process of ours.
        Raises PolicyRefusedError, naming what is missing.
        """
        before = read_compiled(compiled)
        counts = counts or Counts()
        try:
            module = compile_module(wasm, data, deadline_seconds=deadline_seconds, counts=counts, native=before.native)
        except GuestError as error:
            raise PolicyRefusedError(f"revision {revision}: {error}") from error
        try:
            catalogue = _catalogue(module, before)
            return cls(module, catalogue, _searches(module, before), revision)
        except (PolicyRefusedError, GuestError, ContractBreach) as error:
            module.close()
            raise PolicyRefusedError(f"revision {revision}: {error}") from error

    @property
    def prepared(self) -> bool:
        """Whether evaluations take the prepared call."""
        return self._module.kind == "prepared"

    @property
    def counts(self) -> Counts:
        """How many evaluations failed, and how."""
        return self._module.counts

    async def evaluate(self, check: bytes) -> PolicyDecision:
        """See core.Policy."""
        return self._evaluate(check)

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        """See core.Policy. Up to BATCH_ITEMS checks are one evaluation; others get a turn between two of them."""
        decisions: list[PolicyDecision] = []
        for chunk in _chunks(checks):
            for part in self._company.parts(chunk):
                if decisions:
                    await asyncio.sleep(0)
                decisions += self._evaluate_together(part) or await self._evaluate_each(part)
        return decisions

    async def candidates(self, check: bytes) -> Candidates | None:
        """See core.Policy."""
        answer = self._ask(self._candidates, check)
        return None if answer is None else read_candidates(answer)

    async def explain(self, check: bytes) -> Explanation | None:
        """See core.Policy."""
        answer = self._ask(self._explain, check)
        return None if answer is None else read_explanation(answer)

    def compiled(self) -> bytes:
        """What `load` in another process need not work out again. Raises PolicyRefusedError."""
        once = [name for name in _ASKED_ONCE if name in self._module.entrypoints]
        try:
            inspected = {name: self._module.inspect(self._module.entrypoints[name]) for name in once}
        except GuestError as error:
            raise PolicyRefusedError(f"revision {self.revision}: {error}") from error
        return written(Compiled(self._module.native(), inspected))

    def close(self) -> None:
        """Free the module. Questions after this are answered with `policy_error`. On the thread that evaluates."""
        self._module.close()

    def _evaluate(self, check: bytes) -> PolicyDecision:
        answer = self._ask(self._decision, check)
        return ERROR if answer is None else read_decision(answer, self._declared_reasons)

    def _evaluate_together(self, checks: list[bytes]) -> tuple[PolicyDecision, ...] | None:
        """One evaluation for all, or None: then nothing of its answer may be used."""
        if len(checks) == 1 or self._decisions is None:
            return None
        company = self._company
        if company.most == 1:
            company.worked()
            return None
        answer = self._ask(self._decisions, batch_document(checks))
        decisions = None if answer is None else read_decisions(answer, len(checks), self._declared_reasons)
        if decisions is None:
            company.failed(len(checks))
        else:
            company.worked()
        return decisions

    async def _evaluate_each(self, checks: list[bytes]) -> list[PolicyDecision]:
        """One evaluation for each. A check that fails can take a whole deadline, so others get a turn after it."""
        decisions: list[PolicyDecision] = []
        for check in checks:
            decisions.append(self._evaluate(check))
            if decisions[-1] is ERROR or len(decisions) % _SINGLES_PER_TURN == 0:
                await asyncio.sleep(0)
        return decisions

    def _ask(self, entrypoint: int | None, document: bytes) -> bytes | None:
        """The engine's answer, or None: no such entrypoint, too large a question, or the policy failed."""
        if entrypoint is None or len(document) > MAX_INPUT_BYTES:
            return None
        try:
            return self._module.evaluate(entrypoint, document)
        except GuestError:
            return None


def _catalogue(module: Module, before: Compiled) -> Catalogue:
    """The catalogue of a module that fits the contract."""
    if module.builtins:
        raise PolicyRefusedError(f"it needs builtins that the Wasm guest lacks: {', '.join(sorted(module.builtins))}")
    missing = [name for name in ("authz/decision", _CATALOGUE) if name not in module.entrypoints]
    if missing:
        raise PolicyRefusedError(f"it has no entrypoint {' and no '.join(missing)}")
    return read_catalogue(_inspected(module, before, _CATALOGUE))


def _searches(module: Module, before: Compiled) -> frozenset[str]:
    """The searches that a module offers: each key of its candidates is there for an empty input too."""
    if _CANDIDATES not in module.entrypoints:
        return frozenset()
    found = read_candidates(_inspected(module, before, _CANDIDATES))
    if found is None:
        raise PolicyRefusedError("data.authz.candidates is not as the contract has it")
    return offered(found)


def _inspected(module: Module, before: Compiled, entrypoint: str) -> bytes:
    answer = before.inspected.get(entrypoint)
    return module.inspect(module.entrypoints[entrypoint]) if answer is None else answer


def _chunks(checks: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The checks in order, in pieces that fit into one evaluation by number and by size."""
    remaining = iter(checks)
    while chunk := list(islice(remaining, BATCH_ITEMS)):
        yield from _sized(chunk)


def _sized(checks: list[bytes]) -> Iterator[list[bytes]]:
    """In halves until each piece is within the limit of an input, or is a single check."""
    if len(checks) == 1 or len(batch_document(checks)) <= MAX_INPUT_BYTES:
        yield checks
        return
    middle = len(checks) // 2
    yield from _sized(checks[:middle])
    yield from _sized(checks[middle:])
