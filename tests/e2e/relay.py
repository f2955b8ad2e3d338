"""A TCP relay between two processes, which counts connections and can be late with what it passes on."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator


class Relay(socketserver.ThreadingTCPServer):
    """Passes bytes on in both directions."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = 0
        self.target_path = ""
        self.delay_seconds = 0.0
        self.connections = 0

    def onward(self) -> socket.socket:
        """A connection to the port or the Unix socket behind it."""
        if not self.target_path:
            return socket.create_connection(("127.0.0.1", self.target))
        onward = socket.socket(socket.AF_UNIX)
        onward.connect(self.target_path)
        return onward

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: a neighbour that is killed in the middle is what some tests are about."""


class _Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Pass on until one side hangs up."""
        server = self.server
        assert isinstance(server, Relay)
        server.connections += 1
        with server.onward() as onward:
            back = threading.Thread(target=_pass_on, args=(server, onward, self.request), daemon=True)
            back.start()
            _pass_on(server, self.request, onward)
            back.join(timeout=5)


def _pass_on(relay: Relay, source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            time.sleep(relay.delay_seconds)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running_relay() -> Iterator[Relay]:
    """A relay on a free port; its target is set afterwards."""
    with Relay() as relay:
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
