"""Policies that must not be put in force although they are signed: what is wrong is said in words."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from authz import bundle, policy
from authz.bundle import BuiltWith, BundleError
from authz.core import AuthzError
from authz.examination import Trust, examine

UNSIGNED = Trust(sha256=None, keys=(), signatures_required=1, max_bytes=1 << 24)
CATALOGUE = '\ncatalogue := {"scopes": [], "roles": [], "routes": []}\n'


def made(opa: Path, directory: Path, rego: str, cases: bytes | None = None) -> bytes:
    """A bundle as `authz policy build` would never make it: the compiler alone has looked at it."""
    source = directory / "policy"
    source.mkdir()
    (source / "authz.rego").write_text(rego)
    built = directory / "built.tar.gz"
    entrypoints = ["-e", "authz/decision", "-e", "authz/catalogue"]
    command: list[str | Path] = [opa, "build", "-t", "wasm", "-b", *entrypoints, ".", "-o", built]
    subprocess.run(command, check=True, capture_output=True, cwd=source)
    with tarfile.open(built) as archive:
        module = archive.extractfile("/policy.wasm")
        assert module is not None
        wasm = module.read()
    with_us = {"entrypoints": BuiltWith(("authz/decision", "authz/catalogue"), "1").entrypoints, "opa": "1"}
    manifest = json.dumps({"revision": "r1", "metadata": {"authz": with_us}}).encode()
    members = {".manifest": manifest, "data.json": b"{}", "authz.wasm": wasm, "authz.rego": rego.encode()}
    return bundle.pack({**members, **({bundle.CASES: cases} if cases is not None else {})})


@pytest.mark.parametrize(
    ("decision", "code", "said"),
    [
        (
            'decision := {"allow": "true", "reason": "scope_granted", "scopes": []}',
            "policy_probe",
            "data.authz.decision for an empty input: Expected `bool`, got `str` - at `$.allow`",
        ),
        (
            'decision := {"allow": true, "reason": "because", "scopes": []}',
            "policy_probe",
            "data.authz.decision for an empty input: 'because' is no reason of an allow",
        ),
        (
            'decision := {"allow": false, "reason": "scope_missing", "scopes": [sprintf("%v", [input.x])]}',
            "policy_refused",
            "revision r1: it needs builtins that the Wasm guest lacks: sprintf",
        ),
        (
            'decision := {"allow": false, "reason": "scope_missing", "scopes": []} if input.never',
            "policy_probe",
            "data.authz.decision for an empty input: is undefined (give it a default)",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused(
    opa_binary: Path, tmp_path: Path, decision: str, code: str, said: str
) -> None:
    """Each by its own code and a sentence that names the rule."""
    with pytest.raises(AuthzError) as refused:
        examine(made(opa_binary, tmp_path, f"package authz\n\n{decision}\n{CATALOGUE}"), UNSIGNED)

    assert (refused.value.code, str(refused.value)[: len(said)]) == (code, said)


def test_cases_that_cannot_be_read_are_refused(opa_binary: Path, tmp_path: Path) -> None:
    """A misspelt key would be a case that holds nothing."""
    rego = f'package authz\n\ndecision := {{"allow": false, "reason": "scope_missing", "scopes": []}}\n{CATALOGUE}'
    cases = b'{"cases":[{"name":"x","input":{},"allow":false,"raeson":"scope_missing"}]}'

    with pytest.raises(BundleError, match=r"authz\.cases\.json: Object contains unknown field `raeson`"):
        examine(made(opa_binary, tmp_path, rego, cases), UNSIGNED)


def test_the_build_puts_cases_into_the_bundle(opa_binary: Path, tmp_path: Path) -> None:
    """From YAML beside the sources; they change the revision, and a file that is none is named with its line."""
    source = tmp_path / "policy"
    (source / "cases").mkdir(parents=True)
    (source / "authz.rego").write_text(
        f'package authz\n\ndefault decision := {{"allow": false, "reason": "scope_missing", "scopes": []}}\n{CATALOGUE}'
    )
    without = policy.build(source, tmp_path / "without.tar.gz", opa_binary)
    (source / "cases" / "a.yaml").write_text("cases:\n  - {name: nobody, input: {}, allow: false}\n")
    report = policy.build(source, tmp_path / "with.tar.gz", opa_binary)

    examined = examine((tmp_path / "with.tar.gz").read_bytes(), UNSIGNED)
    assert (examined.cases, examined.revision) == (1, report.revision)
    assert report.revision != without.revision
    (source / "cases" / "b.yaml").write_text("cases:\n  - [\n")
    with pytest.raises(policy.BuildError, match=r"^cases/b\.yaml:3: not YAML"):
        policy.build(source, tmp_path / "none.tar.gz", opa_binary)
