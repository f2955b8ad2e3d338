"""A web server that has one bundle, with an ETag and the long polling that OPA asks for."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

_KIND: Final = "application/vnd.openpolicyagent.bundles"


class BundleServer(ThreadingHTTPServer):
    """Serves `archive` at every path; `put` wakes whoever polls."""

    daemon_threads = True

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.archive = archive
        self.polls: list[str] = []
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def put(self, archive: bytes) -> None:
        """Serve another bundle from now on."""
        with self.changed:
            self.archive = archive
            self.changed.notify_all()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The bundle, or 304 when it is the one that the client has, after the time that it wants to wait."""
        server = self.server
        assert isinstance(server, BundleServer)
        prefer, known = self.headers.get("Prefer", ""), self.headers.get("If-None-Match", "")
        server.polls.append(prefer)
        wait = re.search(r"wait=(\d+)", prefer)
        with server.changed:
            if wait:
                server.changed.wait_for(lambda: _tag(server.archive) != known, int(wait[1]))
            archive = server.archive
        fresh = _tag(archive) != known
        self.send_response(200 if fresh else 304)
        self.send_header("ETag", _tag(archive))
        self.send_header("Content-Type", _KIND)
        self.send_header("Content-Length", str(len(archive) if fresh else 0))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(archive if fresh else b"")

    def log_message(self, *_: object) -> None:
        """Silent."""


def _tag(archive: bytes) -> str:
    return f'"{hashlib.sha256(archive).hexdigest()}"'


@contextlib.contextmanager
def bundle_server(archive: bytes) -> Iterator[BundleServer]:
    """A server on a free port."""
    with BundleServer(archive) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
