"""The contract, tried on a built policy: what it answers must be what the decision point can read."""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from opapywasm import UNDEFINED, OpaWasmError, OpaWasmPolicy, PolicyConfig

from authz.core import (
    BREACH,
    MAX_ANSWER_BYTES,
    POLICY_ALLOWS,
    POLICY_DENIES,
    Candidates,
    Catalogue,
    CatalogueRoute,
    ContractBreach,
    Explanation,
    PolicyDecision,
    fitting,
    read_catalogue,
    read_decision,
)
from authz.engine.module import LOADING_SECONDS

_EVALUATION_SECONDS = LOADING_SECONDS
_ENOUGH_BREACHES = 10
_T = TypeVar("_T")
_Breach = tuple[str, str]
"""The name of a rule, and what is wrong with its answer."""


class _NoAnswer(Exception):  # noqa: N818 - becomes a breach at once
    """The rule has no value; the text says why."""


def probe(wasm: bytes, data: bytes) -> tuple[Catalogue | None, list[_Breach]]:
    """Evaluate every entrypoint with an empty input, and `decision` for every route of the catalogue.

    Each route is asked for by nobody and by a subject that has every role.
    """
    try:
        policy = OpaWasmPolicy.from_wasm_bytes(
            wasm, PolicyConfig(pool_size=1, eval_timeout_seconds=_EVALUATION_SECONDS)
        )
        policy.set_data(data)
    except OpaWasmError as error:
        return None, [("decision", f"the compiled policy cannot be loaded: {error}")]
    try:
        return _Probe(policy).run()
    finally:
        policy.close()


class _Probe:
    def __init__(self, policy: OpaWasmPolicy) -> None:
        self._policy = policy
        self._breaches: list[_Breach] = []

    def run(self) -> tuple[Catalogue | None, list[_Breach]]:
        hosted = sorted(self._policy.builtins)
        if hosted:
            return None, [("decision", f"calls builtins outside the Wasm guest: {', '.join(hosted)}")]
        catalogue = self._catalogue()
        reasons = frozenset(catalogue.reasons if catalogue else ())
        inputs = [{}, *_route_inputs(catalogue)] if catalogue else [{}]
        for document in inputs:
            if len(self._breaches) < _ENOUGH_BREACHES:
                self._decision(document, reasons)
        self._decisions(inputs[:2])
        self._ask("explain", {}, Explanation, "an empty input", optional=True)
        self._ask("candidates", {}, Candidates, "an empty input", optional=True)
        return catalogue, list(dict.fromkeys(self._breaches))

    def _catalogue(self) -> Catalogue | None:
        try:
            return read_catalogue(msgspec.json.encode([{"result": self._evaluate("catalogue", {})}]))
        except ContractBreach as breach:
            self._breaches.append(("catalogue", str(breach)))
        except _NoAnswer as error:
            self._breaches.append(("catalogue", str(error)))
        return None

    def _decision(self, document: dict[str, Any], reasons: frozenset[str]) -> None:
        asked = _describe(document)
        decision = self._ask("decision", document, PolicyDecision, asked)
        if decision is None:
            return
        known = POLICY_ALLOWS if decision.allow else POLICY_DENIES | reasons
        verdict = "an allow" if decision.allow else "a deny"
        if decision.reason not in known:
            fix = "declare it in data.authz.catalogue.reasons" if not decision.allow else f"say one of {sorted(known)}"
            self._breaches.append(("decision", f"for {asked}: {decision.reason!r} is no reason of {verdict} ({fix})"))
        elif decision.allow and decision.missing:
            self._breaches.append(("decision", f"for {asked}: an allow has nothing in `missing`"))
        elif fitting(decision) is BREACH:
            self._breaches.append(("decision", f"for {asked}: it is longer than {MAX_ANSWER_BYTES} bytes"))
        elif read_decision(msgspec.json.encode([{"result": decision}]), reasons) != fitting(decision):
            self._breaches.append(("decision", f"for {asked}: its limits or headers cannot be used"))

    def _decisions(self, documents: list[dict[str, Any]]) -> None:
        batch = {"checks": documents}
        answers = self._ask("decisions", batch, list[PolicyDecision], f"{len(documents)} checks", optional=True)
        if answers is not None and len(answers) != len(documents):
            self._breaches.append(("decisions", f"for {len(documents)} checks: gives {len(answers)} answers"))

    def _ask(
        self, rule: str, document: dict[str, Any], kind: type[_T], asked: str, *, optional: bool = False
    ) -> _T | None:
        if optional and f"authz/{rule}" not in self._policy.entrypoints:
            return None
        try:
            return msgspec.convert(self._evaluate(rule, document), type=kind)
        except (_NoAnswer, msgspec.ValidationError) as error:
            self._breaches.append((rule, f"for {asked}: {error}"))
            return None

    def _evaluate(self, rule: str, document: dict[str, Any]) -> Any:
        """The rule's value. Raises _NoAnswer."""
        try:
            answer = self._policy.evaluate(document, f"authz/{rule}")
        except OpaWasmError as error:
            raise _NoAnswer(str(error)) from error
        if answer is UNDEFINED:
            raise _NoAnswer("is undefined (give it a default)")
        return answer


def _route_inputs(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    nobody = {"type": "anonymous", "id": "", "roles": []}
    everything = {"type": "user", "id": "probe", "roles": list(catalogue.roles)}
    for route in catalogue.routes:
        for subject in (nobody, everything):
            yield {
                "subject": subject,
                "action": {"name": route.method},
                "resource": _resource(route),
                "context": {"now": 0},
            }


def _resource(route: CatalogueRoute) -> dict[str, Any]:
    resource = {"type": "route", "id": route.path, "route": route.path, "params": dict.fromkeys(route.params, "probe")}
    return resource if route.host is None else {**resource, "host": route.host}


def _describe(document: dict[str, Any]) -> str:
    if not document:
        return "an empty input"
    return f"{document['action']['name']} {document['resource']['route']} by {document['subject']['type']}"
