"""The alerts beside those of the objectives: alerts.yaml, read and checked."""

from functools import cache
from importlib import resources
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from authz.slos.errors import ObjectivesError

Severity = Literal["critical", "warning", "info"]
_FILE: Final = "alerts.yaml"


class Alert(Struct, frozen=True, forbid_unknown_fields=True):
    """One row of alerts.yaml, whose head says what its fields mean."""

    alert: Annotated[str, Meta(pattern="^Authz[A-Za-z0-9]+$")]
    severity: Severity
    expr: Annotated[str, Meta(min_length=1)]
    summary: Annotated[str, Meta(min_length=1)]
    pending: Annotated[str, Meta(pattern="^[0-9]+[smhd]$")] = msgspec.field(name="for", default="0s")


@cache
def alerts() -> tuple[Alert, ...]:
    """The alerts that ship with the package."""
    return read_alerts(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))


def read_alerts(text: str) -> tuple[Alert, ...]:
    """The rows of a file of alerts. Raises ObjectivesError, naming the row and the field."""
    try:
        rows: list[Any] = yaml.safe_load(text) or []
        found = tuple(msgspec.convert(row, Alert) for row in rows)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ObjectivesError(f"alerts: {error}") from None
    names = [each.alert for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ObjectivesError(f"alerts: {', '.join(twice)}: there twice")
    return found
