"""Measuring by what a Prometheus server has seen, over a window."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from authz.slos.errors import SloSourceError
from authz.slos.fetch import get
from authz.slos.judge import Measured
from authz.slos.objectives import Objective
from authz.slos.query import Query


def is_prometheus(url: str, token: str | None = None) -> bool:
    """Whether a Prometheus server answers there. Raises SloSourceError when nobody does."""
    status, _ = get(url, "/api/v1/status/buildinfo", token)
    return status == 200


class Prometheus:
    """A Prometheus server, and the window to look at; without one, each objective's own."""

    def __init__(self, url: str, *, window: str | None = None, token: str | None = None) -> None:
        self._url = url
        self._window = window
        self._token = token

    def measure(self, objectives: Sequence[Objective]) -> dict[str, Measured]:
        """What happened, by objective. Raises SloSourceError when the server does not answer a query."""
        return {each.name: self._measured(each) for each in objectives}

    def _measured(self, objective: Objective) -> Measured:
        window = self._window or f"{objective.window_days}d"
        # What was found before the window is still so while the process that found it lives.
        bad = f"increase({{}}[{window}])" if objective.tolerant else f"max_over_time({{}}[{window}])"
        grown = f"increase({{}}[{window}])"
        return Measured(
            self._value(objective.bad, bad),
            self._value(objective.total, grown),
            self._value(objective.beside[1], grown) if objective.beside else None,
        )

    def _value(self, query: Query, form: str) -> float:
        rows = self._query(query.promql(lambda selector: form.replace("{}", selector)))
        return float(rows[0]["value"][1]) if rows else 0.0

    def _query(self, expression: str) -> list[dict[str, Any]]:
        status, body = get(self._url, f"/api/v1/query?query={quote(expression)}", self._token)
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise SloSourceError(f"{self._url}: HTTP {status}, and no JSON") from None
        if answer.get("status") != "success":
            raise SloSourceError(f"{self._url}: {answer.get('error', f'HTTP {status}')}")
        rows: list[dict[str, Any]] = answer["data"]["result"]
        return rows
