"""`tools/provision.py`: the pinned tool or a sentence, whatever the machine has."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from authz.bundle import pins

ROOT = Path(__file__).parents[2]

# Builds a program that says it is the pinned version, slowly, and notes that it did.
GO = f"""#!/bin/sh
PATH=/usr/bin:/bin
[ "$1" = version ] && {{ echo "go version go${{GO_SAYS:-1.99.0}} linux/amd64"; exit; }}
sleep 0.3
echo "$GOTOOLCHAIN $*" >> "$(dirname "$0")/builds"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho Version: {pins.OPA}\\n' > "$2"
chmod +x "$2"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A bare clone, as far as provisioning sees it."""
    for part in ("tools/provision.py", "authz/bundle/pins.py"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    (tmp_path / "path").mkdir()
    return tmp_path


def program(path: Path, text: str) -> Path:
    """An executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def start(checkout: Path, tool: str = "opa", **environment: str) -> subprocess.Popen[str]:
    """Start provisioning with nothing on PATH but the checkout's own `path` directory."""
    return subprocess.Popen(
        [sys.executable, checkout / "tools" / "provision.py", tool],
        env={"PATH": str(checkout / "path"), "HOME": str(checkout), "PIP_NO_INDEX": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout.strip(), stderr.strip()


def test_the_pinned_version_on_path_is_taken(checkout: Path) -> None:
    """Nothing is built when the machine has it."""
    opa = program(checkout / "path" / "opa", f"#!/bin/sh\necho Version: {pins.OPA}\n")

    assert finish(start(checkout)) == (0, str(opa), "")


def test_another_version_on_path_is_passed_over(checkout: Path) -> None:
    """Newer or older, only the pinned one counts; the one kept from an earlier run does."""
    program(checkout / "path" / "opa", "#!/bin/sh\necho Version: 99.0.0\n")
    kept = program(checkout / ".tools" / "bin" / "opa", f"#!/bin/sh\necho Version: {pins.OPA}\n")

    assert finish(start(checkout)) == (0, str(kept), "")


def test_it_is_built_once_however_many_ask(checkout: Path) -> None:
    """Four at the same time: one builds, all get the path, and a later one finds it there."""
    go = program(checkout / "path" / "go", GO)
    built = checkout / ".tools" / "bin" / "opa"

    answers = [finish(process) for process in [start(checkout) for _ in range(4)]]

    said = f"building opa {pins.OPA} with {go}: about a minute, once"
    assert sorted(answers) == sorted(
        [(0, str(built), ""), (0, str(built), ""), (0, str(built), ""), (0, str(built), said)]
    )
    assert finish(start(checkout)) == (0, str(built), "")
    assert len((checkout / "path" / "builds").read_text().splitlines()) == 1
    assert sorted(path.name for path in (checkout / ".tools").iterdir()) == ["bin", "opa.lock"]


def test_go_may_not_fetch_another_go(checkout: Path) -> None:
    """The toolchain is the one that was found."""
    program(checkout / "path" / "go", GO)

    finish(start(checkout, GOTOOLCHAIN="auto"))

    assert (checkout / "path" / "builds").read_text().startswith("local build -mod=mod")


@pytest.mark.parametrize("go_says", ["1.25.9", "1.9", None])
def test_without_a_way_to_build_it_says_how_to_get_it(checkout: Path, go_says: str | None) -> None:
    """No Go or an old one, and no wheel: exit code 3, nothing on stdout, one sentence on stderr."""
    if go_says is not None:
        program(checkout / "path" / "go", GO)

    code, stdout, stderr = finish(start(checkout, **({"GO_SAYS": go_says} if go_says else {})))

    assert (code, stdout, len(stderr.splitlines())) == (3, "", 1)
    assert stderr.startswith(f"opa {pins.OPA} is not here and could not be built (")
    assert stderr.endswith(
        f"): put that version on PATH, or install Go {pins.GO_MINIMUM} or newer and run this again "
        "with the Go module proxy in reach."
    )


def test_go_itself_is_the_one_on_path(checkout: Path) -> None:
    """If it is new enough; nothing is built."""
    go = program(checkout / "path" / "go", GO)

    assert finish(start(checkout, "go")) == (0, str(go), "")


def test_without_go_it_says_so(checkout: Path) -> None:
    """An old one on PATH and no wheel: exit code 3, nothing on stdout, one sentence on stderr."""
    program(checkout / "path" / "go", GO)

    code, stdout, stderr = finish(start(checkout, "go", GO_SAYS="1.25.9"))

    assert (code, stdout, len(stderr.splitlines())) == (3, "", 1)
    assert stderr.startswith(f"there is no Go {pins.GO_MINIMUM} or newer (")


def test_a_build_that_fails_says_why(checkout: Path) -> None:
    """The last line of the compiler's complaint is in the sentence, and nothing half-built stays."""
    program(checkout / "path" / "go", GO.replace("sleep 0.3", "echo no network >&2; exit 1"))

    code, _, stderr = finish(start(checkout))

    assert code == 3
    assert "could not be built (go failed: no network)" in stderr
    assert list((checkout / ".tools" / "bin").iterdir()) == []


def test_an_unknown_tool_is_a_usage_error(checkout: Path) -> None:
    """Exit code 2 and the tools there are."""
    assert finish(start(checkout, "oops")) == (2, "", "usage: provision.py opa|regal|go")


def test_this_machine_has_what_it_pins(opa_binary: Path) -> None:
    """The opa that the other tests use says it is the pinned version."""
    said = subprocess.run([opa_binary, "version"], capture_output=True, text=True, check=True, env=dict(os.environ))

    assert said.stdout.splitlines()[0] == f"Version: {pins.OPA}"
