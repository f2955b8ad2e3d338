"""What every test may use: the real opa program, and the rule that nothing is skipped in CI."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import structlog

from authz import log
from authz.engine.compiled import Native

ROOT = Path(__file__).parent.parent


def missing(what: str) -> NoReturn:
    """Skip a test that needs `what`; in CI, where everything has to be there, fail it."""
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(f"{what} is missing, and REQUIRE_ALL is set")
    pytest.skip(f"{what} is missing")


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Whoever starts the tests in the background of a script has them, and all they start, ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What `authz audit verify` remembers stays in the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """No log settings outlive a test: not those of a sidecar that ran in this process either."""
    root_level = logging.getLogger().level
    yield
    log.close(0.0)
    log.set_level("info")
    logging.getLogger().setLevel(root_level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def _compiled_once() -> Iterator[None]:
    """A module that this process has compiled is taken as machine code, as after an examination: 0.2 s of a sidecar."""
    compiled_anew = Native.compile
    machine_code: dict[bytes, bytes] = {}

    def compiled(wasm: bytes) -> Native:
        if wasm in machine_code:
            return Native.of(wasm, machine_code[wasm])
        native = compiled_anew(wasm)
        machine_code[wasm] = native.serialized()
        return native

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Native, "compile", compiled)
        yield


@pytest.fixture(scope="session")
def opa_binary() -> Path:
    """The pinned opa, found or built."""
    found = subprocess.run(
        [sys.executable, ROOT / "tools" / "provision.py", "opa"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        missing(f"the pinned opa ({found.stderr.strip()})")
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def examples() -> int:
    """How many generated inputs a property test tries: few by default, thousands in `make test-full`."""
    return int(os.environ.get("AUTHZ_TEST_EXAMPLES", "100"))
