"""A local OPA server that this process starts, keeps alive and takes with it when it ends.

It listens on a Unix socket in a directory of our own, wants a token that is made for each start, and answers only the
rules of the contract. It dies with this process, by the kernel's hand: the one that starts it asks for SIGKILL on its
parent's death (prctl(2), PR_SET_PDEATHSIG) before it becomes OPA.
"""

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from authz.bundle import Opa
from authz.core import ConfigurationError
from authz.engine.opa.place import Place
from authz.metrics import ENGINE_STARTS_TOTAL

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 10.0
_STEADY_SECONDS: Final = 30.0
_END_SECONDS: Final = 3.0
_MAX_SOCKET_PATH_BYTES: Final = 100
_MAX_LINE_BYTES: Final = 64 * 1024
_MAX_SHOWN: Final = 300

_RULES_OF_ITS_API: Final = Path(__file__).parent / "api" / "system" / "authz" / "authz.rego"
_DIGEST_VARIABLE: Final = "AUTHZ_OPA_TOKEN_SHA256"

_GARBAGE_PERCENT: Final = "400"
"""Go's collector runs a quarter as often, for 20 MB more: a check in a batch costs OPA 110-120 us, not 170-210."""

_LEASH: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"  # PR_SET_PDEATHSIG, SIGKILL
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)

_log = structlog.get_logger("authz.opa")


class OpaChild:
    """Keeps one `opa run --server` alive for a bundle that was verified before."""

    def __init__(self, opa: Opa, directory: Path, archive: bytes) -> None:
        """`directory` is made, or emptied. Raises ConfigurationError where a child could outlive this process."""
        if sys.platform != "linux":
            raise ConfigurationError("engine: a local OPA is started on Linux only; start one and name it in opa.url")
        self._opa = opa
        self._directory = directory
        self._archive = archive
        self._elsewhere: Path | None = None
        self._socket = directory.absolute() / "opa.sock"
        if len(os.fsencode(self._socket)) > _MAX_SOCKET_PATH_BYTES:
            self._elsewhere = Path(tempfile.mkdtemp(prefix="authz-opa-"))
            self._socket = self._elsewhere / "opa.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def place(self) -> Place:
        """Where it listens."""
        return Place("localhost", 8181, socket=self._socket)

    @property
    def token_file(self) -> Path:
        """The token that it wants."""
        return self._directory / "token"

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Lay out its files and begin. Does not wait until it answers."""
        self._token_sha256 = await asyncio.to_thread(self._lay_out)
        self._task = asyncio.create_task(self._keep_alive(), name="opa")

    async def stop(self) -> None:
        """End it, in order if it can."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is not None and process.returncode is None:
            await _ended(process)
        if self._elsewhere is not None:
            await asyncio.to_thread(shutil.rmtree, self._elsewhere, ignore_errors=True)

    def _lay_out(self) -> str:
        """The directory as OPA and our client need it; the digest of the token."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(mode=0o700, parents=True)
        (self._directory / "bundle.tar.gz").write_bytes(self._archive)
        api = self._directory / "api"
        api.mkdir()
        (api / "authz.rego").write_bytes(_RULES_OF_ITS_API.read_bytes())
        (api / ".manifest").write_bytes(msgspec.json.encode({"revision": "api", "roots": ["system/authz"]}))
        token = secrets.token_urlsafe(32)
        with os.fdopen(os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
        return hashlib.sha256(token.encode()).hexdigest()

    async def _keep_alive(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            code = await self._run()
            if loop.time() - begun > _STEADY_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            _log.error("opa_ended", code=code, again_in_seconds=pause_seconds)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _run(self) -> int | str:
        # A socket that a killed one left behind is in the way of the next.
        self._socket.unlink(missing_ok=True)
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": os.defpath, "GOGC": _GARBAGE_PERCENT, _DIGEST_VARIABLE: self._token_sha256},
                limit=_MAX_LINE_BYTES,
            )
        except OSError as error:
            return str(error)
        ENGINE_STARTS_TOTAL.inc()
        if process.stderr is not None:
            await _relay(process.stderr)
        return await process.wait()

    def _command(self) -> list[str]:
        leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())]
        server = [str(self._opa.path), "run", "--server", "--addr", f"unix://{self._socket}"]
        access = ["--unix-socket-perm", "600", "--authentication", "token", "--authorization", "basic"]
        # Its signature was verified here, on these very bytes, with the keys that this service is told to trust.
        files = ["--skip-verify", "--bundle", str(self._directory / "bundle.tar.gz"), str(self._directory / "api")]
        return [
            *leash,
            *server,
            *access,
            "--skip-version-check",
            "--log-format",
            "json",
            "--log-level",
            "error",
            *files,
        ]


async def _ended(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def _relay(stream: asyncio.StreamReader) -> None:
    """Its log into ours, until it ends: what happened and where, none of what was asked."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as rest:
            _say(rest.partial)
            return
        except asyncio.LimitOverrunError as over:
            await stream.readexactly(over.consumed)
            continue
        _say(line)


class _Line(msgspec.Struct):
    level: str = "error"
    msg: str = ""
    plugin: str = ""
    name: str = ""


def _say(line: bytes) -> None:
    if not line.strip():
        return
    try:
        said = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Line(msg=line.decode(errors="replace").strip())
    more: dict[str, Any] = {key: value for key in ("plugin", "name") if (value := getattr(said, key))}
    say = getattr(_log, said.level if said.level in ("debug", "info", "warning") else "error")
    say("opa_said", said=said.msg[:_MAX_SHOWN], **more)
