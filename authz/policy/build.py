"""Build a policy: from a directory of Rego and data to one bundle that OPA and the embedded engine both take."""

import json
import re
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from authz.bundle import CASES, DATA, MANIFEST, MODULE, BuiltWith, Limits, Manifest, find_opa, pack, unpack, write
from authz.engine import probe
from authz.history import state_reads
from authz.policy.case_files import case_document
from authz.policy.errors import BuildError, Problem
from authz.policy.marks import Marks
from authz.policy.program import Workbench
from authz.policy.roots import roots
from authz.policy.sources import INPUT_SCHEMA, read_sources, revision_of, write_sources
from authz.policy.tables import check_tables

REQUIRED = ("authz/decision", "authz/catalogue")
OPTIONAL = ("authz/decisions", "authz/explain", "authz/candidates")
CLOSURE_RULE = "data.authz.index.closure"
"""Where a policy has this rule, its value is stored as `data.authz.closure`."""

_CLOSURE_PACKAGE = re.compile(rb"^package authz\.index\s*$", re.MULTILINE)

_NO_SUCH_RULE = re.compile(r'entrypoint "(?P<entrypoint>[^"]+)" does not refer to a rule')


class BuildReport(Struct, frozen=True):
    """What was built. `sha256`: of the bundle, in hex."""

    revision: str
    sha256: str
    output: str
    opa: str
    entrypoints: tuple[str, ...]
    sources: int
    scopes: int
    roles: int
    routes: int

    def __str__(self) -> str:
        held = f"{self.routes} routes, {self.scopes} scopes, {self.roles} roles"
        return f"{self.output}: revision {self.revision}, {held}, sha256 {self.sha256}"


def build(src: Path, out: Path, opa: Path | None = None) -> BuildReport:
    """Build the policy in `src` into the bundle `out`, with the `opa` program given or found.

    The same sources and the same `opa` give the same bytes, wherever they lie.
    Raises BuildError with every problem found, OpaMissingError.
    """
    program = find_opa(opa)
    sources = read_sources(src)
    cases = case_document(src)
    revision = revision_of(sources if cases is None else {**sources, CASES: cases})
    marks = Marks(sources)
    with tempfile.TemporaryDirectory(prefix="authz-policy-") as room:
        bench = Workbench(program, Path(room))
        write_sources(sources, bench.sources)
        bench.check(_schema(src))
        members = unpack(bench.build("rego", revision), Limits())
        data = _checked(json.loads(members[DATA]), marks)
        if any(_CLOSURE_PACKAGE.search(source) for source in sources.values()):
            data = _with_closure(data, bench.value(CLOSURE_RULE))
        wasm, entrypoints = _compile(bench, revision, sources)
    data_json = _canonical(data)
    built_with = BuiltWith(entrypoints, program.version, state_reads(members, data_json, program.path))
    members |= {
        DATA: data_json,
        MODULE: wasm,
        MANIFEST: _manifest(members[MANIFEST], roots(sources, data), built_with),
    }
    if cases is not None:
        members[CASES] = cases
    catalogue, breaches = probe(wasm, members[DATA])
    if breaches or catalogue is None:
        raise BuildError(Problem(*_rule_place(sources, rule), f"data.authz.{rule} {text}") for rule, text in breaches)
    archive = pack(members)
    write(out, archive)
    return BuildReport(
        revision=revision,
        sha256=sha256(archive).hexdigest(),
        output=str(out),
        opa=program.version,
        entrypoints=entrypoints,
        sources=len(sources),
        scopes=len(catalogue.scopes),
        roles=len(catalogue.roles),
        routes=len(catalogue.routes),
    )


def _schema(src: Path) -> bytes | None:
    path = src / INPUT_SCHEMA
    return path.read_bytes() if path.is_file() else None


def _checked(data: dict[str, Any], marks: Marks) -> dict[str, Any]:
    findings = check_tables(data)
    if findings:
        raise BuildError(marks.problem(finding.path, finding.message) for finding in findings)
    return data


def _with_closure(data: dict[str, Any], closure: object) -> dict[str, Any]:
    """The data document with the closure that the policy itself computes from it, if it does."""
    return data if closure is None else {**data, "authz": {**data.get("authz", {}), "closure": closure}}


def _compile(bench: Workbench, revision: str, sources: Mapping[str, bytes]) -> tuple[bytes, tuple[str, ...]]:
    """The module, with those of the contract's entrypoints that the policy has."""
    entrypoints: tuple[str, ...] = REQUIRED + OPTIONAL
    while True:
        try:
            members = unpack(bench.build("wasm", revision, entrypoints), Limits())
        except BuildError as error:
            absent = _absent(error)
            if absent in REQUIRED:
                rule = absent.rpartition("/")[2]
                raise BuildError(
                    [Problem(*_rule_place(sources, rule), f"there is no rule data.authz.{rule}")]
                ) from None
            if absent not in entrypoints:
                raise
            entrypoints = tuple(entrypoint for entrypoint in entrypoints if entrypoint != absent)
        else:
            return members["policy.wasm"], entrypoints


def _absent(error: BuildError) -> str:
    found = _NO_SUCH_RULE.search(str(error))
    return found["entrypoint"] if found else ""


def _rule_place(sources: Mapping[str, bytes], rule: str) -> tuple[str, int]:
    """Where a rule of package `authz` begins, else where the package does."""
    texts = {name: content.decode(errors="replace") for name, content in sources.items() if name.endswith(".rego")}
    package = re.compile(r"^package authz\s*$", re.MULTILINE)
    for pattern in (re.compile(rf"^(default\s+)?{rule}\b", re.MULTILINE), package):
        for name, text in texts.items():
            found = pattern.search(text)
            if found and package.search(text):
                return name, text.count("\n", 0, found.start()) + 1
    return next(iter(texts)), 1


def _manifest(written_by_opa: bytes, owned: list[str], built_with: BuiltWith) -> bytes:
    manifest = json.loads(written_by_opa)
    msgspec.convert(manifest, Manifest)
    return _canonical({**manifest, "roots": owned, "metadata": {"authz": msgspec.to_builtins(built_with)}})


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
