"""Evidence packages for the tests: made by the command, judged by the one-file verifier."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from click.testing import CliRunner, Result

from authz.audit.evidence import verify as verify_py
from authz.cli import program

ALICE = ("--subject", "h1:k:alice")


def audit(*arguments: object) -> Result:
    """`authz audit ...`."""
    return CliRunner().invoke(program, ["audit", *(str(argument) for argument in arguments)])


def pack(state: Path, output: Path, *filters: object) -> Path:
    """A package of what matches."""
    result = audit("evidence", "--state", state, "-o", output, *filters)
    assert (result.exit_code, result.stderr) == (0, "")
    return output


def unpacked(package: Path, directory: Path) -> Path:
    """The package's files."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(directory)
    return directory


def run_verifier(
    *arguments: object, program: Path | str = verify_py.__file__, python: Path | str = sys.executable
) -> tuple[int, str]:
    """The one-file verifier as a process: no site packages, no environment, nothing of ours."""
    command = [str(python), "-I", "-S", str(program), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stderr == ""
    return done.returncode, done.stdout


def judged(package: Path, key: str = "", witness: str = "") -> tuple[int, list[str]]:
    """The same in this process: how many things are wrong, and every sentence."""
    try:
        keys = verify_py.read_keys(key.encode())
        report = verify_py.check_package(package, keys, verify_py.read_keys(witness.encode()))
    except (verify_py.UnknownError, *verify_py.FAULTS) as error:
        return 1, [str(error)]
    return report.wrong, [f"{kind}: {sentence}" for kind, sentence in report.lines]


def rewrite(package: Path, name: str, content: bytes) -> None:
    """Replace a file as somebody would who knows the manifest."""
    (package / name).write_bytes(content)
    manifest = json.loads((package / "manifest.json").read_bytes())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (package / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def shown(package: Path, stream: str = "main") -> list[dict[str, object]]:
    """The records that a package shows of a stream."""
    rows = (package / "streams" / stream / "log").read_bytes().splitlines()
    return [json.loads(row) for row in rows if row.startswith(b"{")]
