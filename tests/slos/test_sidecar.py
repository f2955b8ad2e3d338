"""Measuring by scrapes: since the start, between two of them, over replicas and restarts."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from authz.slos import SloSourceError, judge_all, objectives, open_source
from authz.slos.fetch import get
from authz.slos.sidecar import Sidecars


class Stage:
    """A little HTTP server that says what a test has it say, one answer after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, str]]] = {}
        self.tokens: list[str | None] = []
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stage.tokens.append(self.headers.get("Authorization"))
                answers = stage.answers.get(self.path.partition("?")[0], [(404, "")])
                status, text = answers.pop(0) if len(answers) > 1 else answers[0]
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A server to be told what to say."""
    made = Stage()
    yield made
    made.close()


def scrape(ok: int, broken: int) -> tuple[int, str]:
    """Metrics of a sidecar with so many requests, and something else that is not looked at."""
    return 200, (
        "# TYPE authz_requests_total counter\n"
        f'authz_requests_total{{code="200",method="GET",route="/a \\"quoted\\" one"}} {ok}\n'
        f'authz_requests_total{{code="503",method="GET",route="/b"}} {broken}\n'
        "something_else{} what?\n"
    )


def availability(source: Sidecars) -> tuple[float, float]:
    """Bad and total of one objective."""
    found = source.measure([each for each in objectives() if each.name == "api-availability"])["api-availability"]
    return found.bad, found.total


def test_since_the_start(stage: Stage) -> None:
    """Without a time to watch, everything since the start counts."""
    stage.answers["/metrics"] = [scrape(90, 10)]
    assert availability(Sidecars([stage.url], token="t")) == (10, 100)
    assert stage.tokens == ["Bearer t"]


def test_between_two_scrapes(stage: Stage) -> None:
    """With a time to watch, what happened in it counts."""
    stage.answers["/metrics"] = [scrape(90, 10), scrape(190, 13)]
    waited: list[float] = []
    assert availability(Sidecars([stage.url], seconds=5, sleep=waited.append)) == (3, 103)
    assert waited == [5]


def test_a_restart_in_between_begins_anew(stage: Stage) -> None:
    """A counter that fell was started again: all that it has is new."""
    stage.answers["/metrics"] = [scrape(90, 10), scrape(7, 1)]
    assert availability(Sidecars([stage.url], seconds=1, sleep=lambda _: None)) == (1, 8)


def test_replicas_are_added_up(stage: Stage) -> None:
    """The same series of two replicas are two series."""
    stage.answers["/metrics"] = [scrape(90, 10), scrape(300, 0)]
    assert availability(Sidecars([stage.url, f"{stage.url}/"])) == (10, 400)


def test_damage_from_before_the_watch_counts(stage: Stage) -> None:
    """What has no tolerance is held to everything since the start, however short the watch is."""
    stage.answers["/metrics"] = [
        (200, 'authz_audit_integrity_failures_total{kind="damage"} 1\nauthz_audit_events_total{type="x"} 5\n')
    ]
    judgement = judge_all(Sidecars([stage.url], seconds=1, sleep=lambda _: None))
    assert judgement.critical_failures == ("audit-integrity",)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((404, ""), "admin listener"),
        ((200, "authz_requests_total{code= 1\n"), "cannot be read"),
        ((401, ""), "HTTP 401"),
    ],
)
def test_what_is_no_sidecar_is_said(stage: Stage, answer: tuple[int, str], told: str) -> None:
    """A listener without metrics, or something that is none, is neither yes nor no."""
    stage.answers["/metrics"] = [answer]
    with pytest.raises(SloSourceError, match=told):
        judge_all(Sidecars([stage.url]))


def test_nobody_there(tmp_path: Path) -> None:
    """A closed port, a socket that is none, another kind of URL: each is said."""
    for url in ("http://127.0.0.1:9", f"unix:{tmp_path}/none", "ftp://x", "nonsense"):
        with pytest.raises(SloSourceError, match=url.partition(":")[0]):
            get(url, "/metrics")


def test_a_prometheus_is_told_from_a_sidecar(stage: Stage) -> None:
    """Whoever answers as Prometheus does is asked with PromQL; errors are passed on, nothing is no events."""
    empty = (200, '{"status":"success","data":{"resultType":"vector","result":[]}}')
    stage.answers = {"/api/v1/status/buildinfo": [(200, "{}")], "/api/v1/query": [empty]}
    judgement = judge_all(open_source([stage.url]))
    assert {each.state for each in judgement.verdicts} == {"not enough data"}

    stage.answers["/api/v1/query"] = [(400, '{"status":"error","error":"parse error"}')]
    with pytest.raises(SloSourceError, match="parse error"):
        judge_all(open_source([stage.url]))
    stage.answers["/api/v1/query"] = [(502, "bad gateway")]
    with pytest.raises(SloSourceError, match="502"):
        judge_all(open_source([stage.url]))
