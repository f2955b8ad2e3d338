"""The objectives, read from OpenSLO v1."""

from functools import cache
from importlib import resources
from typing import Any, Final, Literal, cast, get_args

import msgspec
import yaml
from msgspec import Struct

from authz.slos.errors import ObjectivesError
from authz.slos.query import Query, parse

Alert = Literal["page", "ticket"]
_FILE: Final = "objectives.yaml"


class Objective(Struct, frozen=True, kw_only=True):
    """One promise: of all `total` events no more than 1 - `target` are `bad`.

    `warning` is a stricter target. `tolerant`: there is a budget; without it the first bad event violates the promise.
    `beside` is another share of the total, with its title, to be shown and never judged.
    """

    name: str
    title: str
    description: str
    bad: Query
    total: Query
    target: float
    warning: float
    window_days: int
    alerts: tuple[Alert, ...]
    tolerant: bool = True
    beside: tuple[str, Query] | None = None

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return 1 - self.target

    @property
    def metrics(self) -> frozenset[str]:
        """The samples that it takes to judge it, by name."""
        beside = self.beside[1].metrics if self.beside else frozenset[str]()
        return self.bad.metrics | self.total.metrics | beside


class _Metadata(Struct):
    name: str
    displayName: str = ""  # noqa: N815 - OpenSLO's spelling, here and below
    annotations: dict[str, str] = {}


class _QuerySpec(Struct):
    query: str


class _MetricSource(Struct):
    spec: _QuerySpec
    type: Literal["Prometheus"]


class _Metric(Struct):
    metricSource: _MetricSource  # noqa: N815


class _Ratio(Struct):
    bad: _Metric
    total: _Metric
    counter: Literal[True]


class _IndicatorSpec(Struct):
    ratioMetric: _Ratio  # noqa: N815


class _Indicator(Struct):
    spec: _IndicatorSpec


class _Window(Struct):
    duration: str
    isRolling: Literal[True]  # noqa: N815


class _Target(Struct):
    displayName: Literal["critical", "warning"]  # noqa: N815
    target: float


class _Spec(Struct):
    service: str
    indicator: _Indicator
    timeWindow: tuple[_Window]  # noqa: N815
    budgetingMethod: Literal["Occurrences"]  # noqa: N815
    objectives: tuple[_Target, _Target]
    description: str = ""


class _Slo(Struct):
    apiVersion: Literal["openslo/v1"]  # noqa: N815
    kind: Literal["SLO"]
    metadata: _Metadata
    spec: _Spec


@cache
def objectives() -> tuple[Objective, ...]:
    """The objectives that ship with the package."""
    return read_objectives(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))


def read_objectives(text: str) -> tuple[Objective, ...]:
    """The SLOs among OpenSLO v1 documents. Raises ObjectivesError, naming the document and the field."""
    try:
        documents: list[Any] = [each for each in yaml.safe_load_all(text) if each]
    except yaml.YAMLError as error:
        raise ObjectivesError(f"not YAML: {error}") from None
    return tuple(_objective(each) for each in documents if isinstance(each, dict) and each.get("kind") == "SLO")


def _objective(document: dict[str, Any]) -> Objective:
    try:
        slo = msgspec.convert(document, _Slo)
    except msgspec.ValidationError as error:
        raise ObjectivesError(f"{_name(document)}: {error}") from None
    spec, notes = slo.spec, slo.metadata.annotations
    targets = {each.displayName: each.target for each in spec.objectives}
    ratio = spec.indicator.spec.ratioMetric
    beside = notes.get("authz/beside")
    return Objective(
        name=slo.metadata.name,
        title=slo.metadata.displayName or slo.metadata.name,
        description=spec.description,
        bad=parse(ratio.bad.metricSource.spec.query),
        total=parse(ratio.total.metricSource.spec.query),
        target=_share(slo, targets.get("critical")),
        warning=_share(slo, targets.get("warning")),
        window_days=_days(slo),
        alerts=_alerts(slo),
        tolerant=notes.get("authz/tolerance") != "none",
        beside=None if beside is None else (notes.get("authz/beside-title", "beside"), parse(beside)),
    )


def _name(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "an SLO")) if isinstance(metadata, dict) else "an SLO"


def _share(slo: _Slo, target: float | None) -> float:
    if target is None or not 0 < target < 1:
        raise ObjectivesError(f"{slo.metadata.name}: objectives: `critical` and `warning`, each between 0 and 1")
    return target


def _days(slo: _Slo) -> int:
    duration = slo.spec.timeWindow[0].duration
    if not duration.endswith("d") or not duration[:-1].isdecimal():
        raise ObjectivesError(f"{slo.metadata.name}: timeWindow.duration: must be in days, such as 30d")
    return int(duration[:-1])


def _alerts(slo: _Slo) -> tuple[Alert, ...]:
    named = tuple(part.strip() for part in slo.metadata.annotations.get("authz/alerts", "").split(",") if part.strip())
    if not named or not set(named) <= set(get_args(Alert)):
        raise ObjectivesError(f"{slo.metadata.name}: authz/alerts: must be page, ticket or both")
    return cast(tuple[Alert, ...], named)
