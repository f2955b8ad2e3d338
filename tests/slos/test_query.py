"""The queries of the objectives mean the same for a scrape and for Prometheus."""

import pytest

from authz.slos import ObjectivesError
from authz.slos.query import Sample, parse

SAMPLES = (
    Sample("a_total", {"code": "200"}, 90.0),
    Sample("a_total", {"code": "503"}, 7.0),
    Sample("a_total", {"code": "5xx"}, 3.0),
    Sample("b_total", {"code": "503"}, 1000.0),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sum(a_total)", 100),
        ('sum(a_total{code=~"5.."})', 10),
        ('sum(a_total{code=~"5"})', 0),
        ('sum(a_total{code!~"5.."})', 90),
        ('sum(a_total{code="200"})', 90),
        ('sum(a_total{code!="200"})', 10),
        ('sum(a_total{code!="200",code!="503"})', 3),
        ('sum(a_total{absent=""})', 100),
        ('sum(a_total) - sum(a_total{code="200"}) + sum(b_total)', 1010),
        ("sum(c_total)", 0),
    ],
)
def test_a_query_sums_what_it_selects(text: str, value: float) -> None:
    """Matchers match as in Prometheus: whole values, an absent label is empty."""
    assert parse(text).over(SAMPLES) == value


def test_a_query_is_promql_with_something_around_each_series() -> None:
    """Each selector is wrapped; sums and signs stay."""
    query = parse('sum(a_total)  -sum(b_total{x="1",y=~"2|3"}) + sum(c_total)')
    assert query.promql(lambda selector: f"rate({selector}[5m])") == (
        "(sum(rate(a_total[5m])) or vector(0))"
        ' - (sum(rate(b_total{x="1",y=~"2|3"}[5m])) or vector(0))'
        " + (sum(rate(c_total[5m])) or vector(0))"
    )
    assert parse("sum(a_total)").promql(lambda selector: selector) == "sum(a_total)"
    assert query.metrics == {"a_total", "b_total", "c_total"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a_total",
        "rate(a_total[5m])",
        "- sum(a_total)",
        "sum(a_total",
        "sum(a_total) sum(b_total)",
        "sum(a_total) * sum(b_total)",
        "sum(a_total) -",
        "sum(a_total{code})",
        "sum(a_total{code=200})",
        'sum(a_total{code="200"; x="1"})',
    ],
)
def test_another_query_is_refused(text: str) -> None:
    """What could not be evaluated on a scrape is no query here."""
    with pytest.raises(ObjectivesError, match="query"):
        parse(text)
